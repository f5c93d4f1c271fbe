//! Which files are read, what they may bring in, and where the password comes from.

use super::*;

#[test]
fn without_a_repository_only_the_directory_itself_counts() {
    let mut place = Place::new()
        .file("home/opencode.json", r#"{ "server": { "port": 1 } }"#)
        .file("home/other/opencode.json", r#"{ "server": { "mdns": true } }"#);
    place.directory = place.path("home/other");
    let server = place.config().server;
    assert_eq!((server.port, server.mdns), (4096, true));
}

#[test]
fn files_above_are_shown_relative() {
    let mut place = Place::with("{\n\"server\": { \"port\": -1 } }").file("home/app/a/b/x", "");
    place.directory = place.path("home/app/a/b");
    assert!(place.error().starts_with("../../opencode.json:2: server.port: "));
}

#[test]
fn the_configuration_directory_of_the_environment_comes_before_the_home() {
    let place = Place::new().file("xdg/opencode/opencode.jsonc", r#"{ "model": "a/b" } // x"#);
    let xdg = place.path("xdg");
    let place = place.env("XDG_CONFIG_HOME", xdg.display());
    assert_eq!(place.config().model.as_deref(), Some("a/b"));
}

#[test]
fn the_persons_own_file_stays_theirs_when_it_lies_in_the_project() {
    let mut place = Place::new().global(r#"{ "server": { "port": 1 } }"#);
    place.directory = place.path("home/.config/opencode");
    assert!(place.config().notices().is_empty());
    let place = Place::with(r#"{ "server": { "port": 1 } }"#);
    let named = place.path("home/app/opencode.json");
    let place = place.env("OPENCODE_CONFIG", named.display());
    assert!(place.config().notices().is_empty());
}

#[test]
fn files_that_cannot_be_read_are_errors() {
    let folder = Place::new().file("home/app/opencode.json/x", "");
    assert_eq!(
        folder.error(),
        "opencode.json: expected a file, found a directory; correct this, or move the file away"
    );
    let large = Place::with(&" ".repeat(1024 * 1024 + 1));
    assert!(large.error().contains("expected at most 1 MiB"));
    assert!(Place::with(&" ".repeat(1024 * 1024)).load().is_ok());
    let latin = Place::new().file("home/app/opencode.json", b"{\n// caf\xe9\n}");
    assert_eq!(
        latin.error(),
        "opencode.json: expected UTF-8, and line 2 is not; save the file again as UTF-8"
    );
    let wide = Place::new().file("home/app/opencode.json", b"\xff\xfe{\0}\0");
    assert!(wide.error().contains("UTF-16"));
    let missing = Place::new().env("OPENCODE_CONFIG", "/nowhere/opencode.json").error();
    assert!(missing.starts_with("/nowhere/opencode.json: OPENCODE_CONFIG names this file"));
}

#[test]
fn a_pipe_in_the_project_does_not_hang() {
    let place = Place::new();
    let path = place.path("home/app/opencode.json");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from(0o600),
        0,
    )
    .unwrap();
    assert!(place.error().contains("found a pipe or device"));
}

#[test]
fn a_link_out_of_the_project_is_refused() {
    let place = Place::new().file("secret.json", "{}");
    link(&place.path("secret.json"), &place.path("home/app/opencode.json"));
    assert!(place.error().contains("leads out of the project"));
}

#[test]
fn a_strangers_file_above_the_project_is_left_out() {
    // Only root can make a file that belongs to somebody else.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mut place = Place::with(r#"{ "server": { "port": 1 } }"#).file("home/app/web/x", "");
    std::os::unix::fs::chown(place.path("home/app/opencode.json"), Some(4711), None).unwrap();
    assert_eq!(place.config().server.port, 1);
    place.directory = place.path("home/app/web");
    let config = place.config();
    assert_eq!(config.server.port, 4096);
    assert!(config.warnings[0].starts_with("../opencode.json: belongs to another user"));
}

#[test]
fn a_byte_order_mark_and_an_empty_file_are_fine() {
    assert!(Place::with("\u{feff}{}").load().is_ok());
    assert!(Place::with("").load().is_ok());
    assert!(Place::with("// nothing yet\n").load().is_ok());
    let error = Place::with("\u{feff}{\n\"model\": 1 }").error();
    assert!(error.starts_with("opencode.json:2: model: "));
}

#[test]
fn variables_and_files_are_substituted() {
    let place = Place::with(
        r#"{
            "agent": { "a": { "prompt": "{file:prompts/a.txt}" } },
            "server": { "port": "{env:PORT}", "mdns": "{env:GONE}" },
            "provider": { "x": { "options": {
                "apiKey": "{env:KEY}", "headers": { "X": "a {env:KEY} b", "Y": "plain" }
            } } },
            "mcp": { "m": { "environment": { "A": "{env:MCP_KEY}", "B": "{file:gone}" } } }
        }"#,
    )
    .file("home/app/prompts/a.txt", "Think.\nWell.\r\n\n")
    .env("PORT", 5000)
    .env("KEY", "k");
    let config = place.config();
    assert_eq!(config.agents["a"].prompt.as_deref(), Some("Think.\nWell."));
    assert_eq!((config.server.port, config.server.mdns), (5000, false));
    let provider = &config.providers["x"];
    assert_eq!(provider.api_key.as_deref(), Some("k"));
    assert_eq!(provider.headers["X"], "a k b");
    assert!(!provider.api_key_from_project);
    assert_eq!(provider.headers_from_project.iter().collect::<Vec<_>>(), ["Y"]);
    assert_eq!(config.used_env, ["GONE", "KEY", "MCP_KEY", "PORT"]);
    assert_eq!(config.project_env.len(), 3);
    assert_eq!(
        config.warnings,
        [
            "opencode.json:3: {env:GONE} is empty: the environment variable GONE is not set",
            "opencode.json:7: mcp is not used by this program",
        ]
    );
}

#[test]
fn what_was_substituted_is_not_in_messages() {
    let place = Place::with("{ \"server\": {\n\"port\": \"{file:token}\" } }")
        .file("home/app/token", "hush");
    assert_eq!(
        place.error(),
        "opencode.json:2: server.port: expected a number from 0 to 65535, found \"{file:token}\""
    );
}

#[test]
fn a_missing_file_is_an_error_with_its_line() {
    let place = Place::with("{ \"agent\": { \"a\": {\n\"prompt\": \"{file:gone.txt}\" } } }");
    let expected = format!(
        "opencode.json:2: {{file:gone.txt}}: there is no file {}; make it, or correct the path",
        place.path("home/app/gone.txt").display()
    );
    assert_eq!(place.error(), expected);
}

#[test]
fn a_projects_file_only_brings_in_files_of_the_project() {
    let prompt =
        |path: &str| format!("{{ \"agent\": {{ \"a\": {{ \"prompt\": \"{{file:{path}}}\" }} }} }}");
    let base = || Place::new().file("home/secret", "hush").file("home/app/inside", "fine");
    for path in [
        "../secret",
        "/etc/passwd",
        "~/secret",
        "~root/x",
        "leak",
        "../nowhere",
        "/proc/self/environ",
    ] {
        let place = base().file("home/app/opencode.json", prompt(path));
        link(&place.path("home/secret"), &place.path("home/app/leak"));
        let error = place.error();
        assert!(error.contains("may only use files inside the project"), "{path}: {error}");
    }
    let mut place = base().file("home/app/web/opencode.json", prompt("../inside"));
    place.directory = place.path("home/app/web");
    assert_eq!(place.config().agents["a"].prompt.as_deref(), Some("fine"));
    // The person's own file may use any.
    let place = base().global(&prompt("~/secret"));
    assert_eq!(place.config().agents["a"].prompt.as_deref(), Some("hush"));
    let place = base().global(&prompt("../../secret"));
    assert_eq!(place.config().agents["a"].prompt.as_deref(), Some("hush"));
}

#[test]
fn the_servers_password_is_not_substituted() {
    let place = Place::with(r#"{ "model": "a/{env:OPENCODE_SERVER_PASSWORD}" }"#)
        .env("OPENCODE_SERVER_PASSWORD", "hush");
    assert!(place.error().contains("the server's password is for the server alone"));
}

#[test]
fn a_projects_instructions_stay_inside() {
    let list = r#"{ "instructions": ["a.md", "../b.md", "/c.md", "~/d.md", "x/../../e.md", "https://f"] }"#;
    let config = Place::with(list).file("home/app/a.md", "x").config();
    assert_eq!(config.instructions, ["a.md"]);
    assert_eq!(config.warnings.len(), 5);
    let place = Place::new();
    let home = place.path("home").display().to_string();
    let config = place.global(list).config();
    let expected = ["a.md", "../b.md", "/c.md", &format!("{home}/d.md"), "x/../../e.md"];
    assert_eq!(config.instructions, expected);
    assert!(!config.instructions_from_project);
}

fn who(pairs: &[(&str, &str)]) -> Result<Option<Credentials>, String> {
    credentials(&pairs.iter().copied().collect()).map_err(|error| error.to_string())
}

#[test]
fn credentials_come_from_three_places() {
    let place = Place::new()
        .file("pw", "file\n\n")
        .file("empty", "\n")
        .file("creds/opencode-password", "systemd");
    let [pw, empty, creds, gone] =
        ["pw", "empty", "creds", "gone"].map(|path| place.path(path).display().to_string());
    let variable = ("OPENCODE_SERVER_PASSWORD", "direct");
    let file = ("OPENCODE_SERVER_PASSWORD_FILE", pw.as_str());
    let systemd = ("CREDENTIALS_DIRECTORY", creds.as_str());
    let password = |pairs: &[_]| who(pairs).unwrap().map(|found| found.password);
    assert_eq!(password(&[variable, file, systemd]).as_deref(), Some("direct"));
    assert_eq!(password(&[file, systemd]).as_deref(), Some("file\n"));
    assert_eq!(password(&[systemd]).as_deref(), Some("systemd"));
    assert_eq!(password(&[]), None);
    assert_eq!(password(&[("OPENCODE_SERVER_PASSWORD", "")]), None);
    assert_eq!(password(&[("OPENCODE_SERVER_PASSWORD_FILE", empty.as_str())]), None);
    assert_eq!(password(&[("CREDENTIALS_DIRECTORY", gone.as_str())]), None);
    let error = who(&[("OPENCODE_SERVER_PASSWORD_FILE", gone.as_str())]).unwrap_err();
    assert!(error.starts_with("OPENCODE_SERVER_PASSWORD_FILE: ") && error.contains(&gone));
}

#[test]
fn the_user_has_no_colon() {
    let password = ("OPENCODE_SERVER_PASSWORD", "my-secret-key");
    let found = who(&[password]).unwrap().unwrap();
    assert_eq!(found.user, "opencode");
    assert!(found.warning().is_some_and(|warning| !warning.contains("my-secret-key")));
    assert!(!format!("{found:?}").contains("my-secret-key"));
    let named = who(&[password, ("OPENCODE_SERVER_USERNAME", "me")]).unwrap().unwrap();
    assert_eq!(named.user, "me");
    let error = who(&[password, ("OPENCODE_SERVER_USERNAME", "a:b")]).unwrap_err();
    assert!(error.starts_with("OPENCODE_SERVER_USERNAME: expected a name without a colon"));
    let own = who(&[("OPENCODE_SERVER_PASSWORD", "long and own")]).unwrap().unwrap();
    assert_eq!(own.warning(), None);
}
