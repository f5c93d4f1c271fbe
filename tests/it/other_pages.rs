//! Pages of other origins, and one of a rebound name, in a real browser: they can neither read nor
//! cause anything, while a page of a listed origin works, with credentials too.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::peers;
use crate::program::World;

const PASSWORD: &str = "correct-horse-battery";

#[test]
fn another_page_can_neither_read_nor_cause_anything_and_a_listed_one_works() {
    let Some(mut node) = peers::browser_script("origins.mjs") else { return };
    let mut browser =
        node.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
    let mut lines = BufReader::new(browser.stdout.take().unwrap()).lines();
    let mut line = || -> Value {
        let line = lines.next().expect("the browser's script ended early").unwrap();
        serde_json::from_str(&line).unwrap()
    };
    let listed = line()["listed"].clone();
    let world = || World::new().config(&json!({ "server": { "cors": [listed] } }));
    let open = world().serve();
    let locked = world().env("OPENCODE_SERVER_PASSWORD", PASSWORD).serve();
    let servers = json!({ "open": open.url(), "locked": locked.url(), "password": PASSWORD });
    writeln!(browser.stdin.take().unwrap(), "{servers}").unwrap();
    let told = line();
    assert!(browser.wait().unwrap().success());

    for page in ["other", "otherLocked", "rebound"] {
        for (attempt, outcome) in told[page].as_object().unwrap() {
            // Of a rebound name the browser shows the refusal, which tells nothing.
            let is_refused =
                *outcome == "nothing" || page == "rebound" && *outcome == "refused 403";
            assert!(is_refused, "{page}, {attempt}: {outcome}");
        }
    }
    let listed = &told["listed"];
    for attempt in ["get", "cookies", "json", "socket"] {
        assert_eq!(listed[attempt], "read", "{attempt}: {listed}");
    }
    // What a page can do without being asked first is of no type that is read.
    for attempt in ["plain", "blind", "form", "script"] {
        assert_ne!(listed[attempt], "read", "{attempt}: {listed}");
    }
    let wanted = json!({ "login": 204, "chat": "stop", "basic": 200, "socket": "pong" });
    assert_eq!(told["signedIn"], wanted);

    let mut files: Vec<_> = std::fs::read_dir(open.world.project.path())
        .unwrap()
        .chain(std::fs::read_dir(locked.world.project.path()).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "opencode.json")
        .collect();
    files.sort();
    // Those of the listed page's two requests.
    assert_eq!(files.len(), 2, "{files:?}");
    assert!(files.iter().all(|name| name.starts_with("listed-")), "{files:?}");
}
