//! Servers on the local network: found by avahi, which nobody here wrote, and finding what it
//! publishes. Each test makes machines of its own, two network namespaces with a cable between them;
//! that takes root and Debian's `avahi-daemon`, `avahi-utils`, `dbus` and `iproute2`.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use simple_dns::{CLASS, Name, Packet, Question, TYPE};

use crate::peers::leave_out;
use crate::program::{Dir, Ran, Serving, WITH_THE_TEST, World, await_that, binary};
use crate::tmux::Tmux;
use crate::wire::PATIENCE;

/// A program that is killed with its owner; what it printed can be read while it runs.
struct Running {
    child: Child,
    printed: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let printed = Arc::new(Mutex::new(String::new()));
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let read = |mut from: Box<dyn Read + Send>| {
            let into = printed.clone();
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = from.read(&mut buffer) {
                    into.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
                }
            })
        };
        let readers = vec![read(Box::new(out)), read(Box::new(err))];
        Self { child, printed, readers }
    }

    #[track_caller]
    fn await_text(&self, text: &str) {
        await_that(text, || self.printed.lock().unwrap().contains(text));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.printed.lock().unwrap());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

/// A machine: a network, and a `/run` of its own.
struct Machine {
    /// Holds the namespaces.
    holder: Running,
    home: Dir,
}

impl Machine {
    /// One without a network. `None` where no machine can be made.
    fn new() -> Option<Self> {
        let home = Dir::new();
        let services = home.path().join("services");
        std::fs::create_dir(&services).unwrap();
        // A folder of avahi's, where it is installed; what lies there is this machine's alone.
        let script = format!(
            "mount -t tmpfs none /run && ip link set lo up && mkdir -p /run/dbus /run/avahi-daemon \
             && if [ -d /etc/avahi/services ]; then mount --bind {} /etc/avahi/services; fi \
             && echo ready && exec sleep infinity",
            services.display()
        );
        let mut unshare = Command::new(WITH_THE_TEST[0]);
        unshare.args(&WITH_THE_TEST[1..]);
        unshare.args(["unshare", "--net", "--mount", "--", "sh", "-ec", &script]);
        let can = Command::new("unshare").args(["--net", "--mount", "ip", "link"]).output();
        if !can.is_ok_and(|output| output.status.success()) {
            // No machine can install the right to: with `CI=true` it is no failure either.
            println!("left out: network namespaces cannot be made here, which takes root");
            return None;
        }
        let holder = Running::start(&mut unshare);
        holder.await_text("ready");
        Some(Self { holder, home })
    }

    /// Two machines with a cable between them, 10.77.0.1 and 10.77.0.2.
    fn pair() -> Option<(Self, Self)> {
        let (a, b) = (Self::new()?, Self::new()?);
        let other = b.holder.child.id().to_string();
        a.ip(&["link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", &other]);
        for (machine, address) in [(&a, "10.77.0.1/24"), (&b, "10.77.0.2/24")] {
            machine.ip(&["address", "add", address, "dev", "cable"]);
            machine.ip(&["link", "set", "cable", "up"]);
        }
        Some((a, b))
    }

    fn ip(&self, args: &[&str]) {
        let output = self.enter("ip").args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
    }

    /// What begins a command line on this machine.
    fn prefix(&self) -> Vec<String> {
        let of = |kind: &str| format!("--{kind}=/proc/{}/ns/", self.holder.child.id());
        let enter = ["nsenter".into(), of("net") + "net", of("mount") + "mnt"];
        WITH_THE_TEST.into_iter().map(str::to_owned).chain(enter).collect()
    }

    /// A program on this machine.
    fn enter(&self, program: &str) -> Command {
        let prefix = self.prefix();
        let mut command = Command::new(&prefix[0]);
        command.args(&prefix[1..]).arg(program);
        command
    }

    /// This program on this machine, to its end.
    fn run(&self, args: &[&str]) -> Ran {
        let world = World::new();
        let like = world.command(args);
        let mut command = self.enter(like.get_program().to_str().unwrap());
        command
            .args(like.get_args())
            .env_clear()
            .envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Ran::of(command.output().unwrap())
    }

    /// A server on this machine, on all addresses of IPv4 where nothing else is said.
    fn serve(&self, world: World) -> Serving {
        let prefix = self.prefix();
        let words: Vec<&str> = prefix.iter().map(String::as_str).collect();
        let directory = world.project.path().to_str().unwrap().to_owned();
        let world = world.env_default("OPENCODE_HOSTNAME", "0.0.0.0").env("OPENCODE_INSECURE", "1");
        let world = world.env("OPENCODE_DIR", &directory);
        world.serve_through(&words, "")
    }

    /// A server that is announced.
    fn announce(&self, name: &str) -> Serving {
        let server = self.serve(World::new().env("OPENCODE_MDNS", "true"));
        await_log(&server, &format!("announced on the local network as {name}"));
        server
    }

    /// Starts avahi. `None` where it is not installed.
    fn avahi(&self) -> Option<Avahi<'_>> {
        for program in ["avahi-daemon", "avahi-browse", "dbus-daemon"] {
            if Command::new(program).arg("--version").output().is_err() {
                leave_out(&format!("{program} is not there: scripts/test installs it"));
                return None;
            }
        }
        self.home.write(
            "dbus.conf",
            r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
            "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
            <busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen>
            <policy context="default"><allow user="*"/><allow own="*"/>
            <allow send_type="method_call"/><allow send_destination="*"/>
            <allow receive_type="*"/></policy></busconfig>"#,
        );
        self.home
            .write("avahi.conf", "[server]\nhost-name=peer\n[publish]\npublish-workstation=no\n");
        let file = |name: &str| self.home.path().join(name);
        let mut bus = self.enter("dbus-daemon");
        bus.arg("--nofork").arg("--print-address").arg("--config-file").arg(file("dbus.conf"));
        let bus = Running::start(&mut bus);
        bus.await_text("unix:path=");
        let mut daemon = self.enter("avahi-daemon");
        daemon
            .args(["--no-drop-root", "--no-chroot", "--no-rlimits", "-f"])
            .arg(file("avahi.conf"));
        let daemon = Running::start(&mut daemon);
        daemon.await_text("Server startup complete");
        Some(Avahi { machine: self, _daemon: daemon, _bus: bus })
    }

    /// Does something on this machine's network, on a thread of its own.
    fn within<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
        let net = format!("/proc/{}/ns/net", self.holder.child.id());
        let net = std::fs::File::open(net).unwrap();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(std::os::fd::AsFd::as_fd(&net), kind).unwrap();
                act()
            });
            thread.join().unwrap()
        })
    }

    /// The servers that are found from here, as JSON, until they are what is awaited.
    #[track_caller]
    fn await_servers(&self, what: &str, fits: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let found = Mutex::new(Vec::new());
        await_that(what, || {
            let run = self.run(&["discover", "--json", "--timeout", "0.5"]);
            *found.lock().unwrap() =
                serde_json::from_str::<Vec<Value>>(&run.stdout).unwrap_or_default();
            fits(&found.lock().unwrap())
        });
        found.into_inner().unwrap()
    }
}

/// A running avahi.
struct Avahi<'m> {
    machine: &'m Machine,
    _daemon: Running,
    _bus: Running,
}

impl Avahi<'_> {
    /// What one of its programs prints.
    fn ask(&self, args: &[&str]) -> String {
        let mut command = self.machine.enter(args[0]);
        String::from_utf8(command.args(&args[1..]).output().unwrap().stdout).unwrap()
    }
}

#[track_caller]
fn await_log(server: &Serving, text: &str) {
    await_that(text, || server.log.text().contains(text));
}

fn port(server: &Serving) -> String {
    server.address.port().to_string()
}

#[test]
fn avahi_lists_and_resolves_a_server_and_a_run_reaches_it_by_its_name() {
    let Some((a, b)) = Machine::pair() else { return };
    let Some(avahi) = b.avahi() else { return };
    let server = a.announce("opencode.local");
    for service in ["_opencode._tcp", "_http._tcp"] {
        await_that("avahi resolves the service", || {
            let list =
                avahi.ask(&["avahi-browse", "--resolve", "--terminate", "--parsable", service]);
            let line = list.lines().find(|line| line.starts_with('=')).unwrap_or_default();
            let fields: Vec<_> = line.split(';').collect();
            fields.get(3) == Some(&"opencode")
                && fields[6] == "opencode.local"
                && fields[7] == "10.77.0.1"
                && fields[8] == port(&server)
                && ["\"path=/\"", "\"auth=false\"", "\"version="].iter().all(|t| line.contains(t))
        });
    }
    let resolved = avahi.ask(&["avahi-resolve", "--name", "opencode.local"]);
    assert_eq!(resolved.trim_end(), "opencode.local\t10.77.0.1");
    let run = b.run(&["run", "--attach", "opencode://opencode.local", "hello"]);
    run.assert_status(0);
    assert!(run.stdout.contains("offline guide"), "{run:?}");
    // Whichever URL the name stands in; the name is the host that is asked for.
    for url in
        [format!("http://opencode.local:{}", port(&server)), "opencode://OpenCode.local".into()]
    {
        let status = b.run(&["status", "--attach", &url]);
        status.assert_status(0);
        let told = format!("http://opencode.local:{}: ok", port(&server));
        assert!(status.stdout.starts_with(&told), "{status:?}");
    }
    let strange = b
        .enter("curl")
        .args(["-s", "-o", "/dev/null", "-w", "%{http_code}"])
        .args(["-H", "Host: other.local"])
        .arg(format!("http://10.77.0.1:{}/api/status", port(&server)))
        .output();
    if let Ok(strange) = strange {
        assert_eq!(strange.stdout, b"403", "another name is not served");
    }
    let mut browse = b.enter("avahi-browse");
    let browse = Running::start(browse.args(["--parsable", "_opencode._tcp"]));
    browse.await_text("+;cable;IPv4;opencode;");
    assert_eq!(server.end(Signal::TERM).0, Some(0));
    browse.await_text("-;cable;IPv4;opencode;");
}

#[test]
fn the_terminal_ui_attaches_by_the_name_alone() {
    let Some((a, b)) = Machine::pair() else { return };
    let server = a.announce("opencode.local");
    let world = World::new();
    let Some(tmux) = Tmux::start(&world, (100, 30), &[]) else { return };
    // The shell goes to the other machine; its `/run` is of no matter here.
    let program = binary();
    let enter = b.prefix().join(" ");
    tmux.run(&format!("{enter} {program} attach opencode://opencode.local"));
    tmux.await_text("offline/guide answers, as build");
    tmux.write("hello");
    tmux.press(&["Enter"]);
    tmux.await_text("lists what is there");
    tmux.await_text(&format!("opencode.local:{}", port(&server)));
    await_log(&server, "10.77.0.2");
}

#[test]
fn a_server_that_avahi_publishes_is_found() {
    let Some((a, b)) = Machine::pair() else { return };
    let server = b.serve(World::new());
    let publish = |file: &str, name: &str, port: &str| {
        let text = format!(
            "<service-group><name>{name}</name><service><type>_opencode._tcp</type>\
             <port>{port}</port><txt-record>path=/</txt-record></service></service-group>"
        );
        b.home.write(&format!("services/{file}.service"), &text);
    };
    publish("one", "The build server. Ask Ann", &port(&server));
    let Some(_avahi) = b.avahi() else { return };
    let found = a.await_servers("the server is found", |servers| servers.len() == 1);
    assert_eq!(found[0]["name"], "peer.local");
    assert_eq!(found[0]["instance"], "The build server. Ask Ann");
    assert_eq!(found[0]["url"], format!("http://10.77.0.2:{}", port(&server)));
    assert_eq!(found[0]["auth"], Value::Null);
    let table = a.run(&["discover"]);
    table.assert_status(0);
    assert!(table.stdout.starts_with("NAME        URL"), "{table:?}");
    let run = a.run(&["run", "--attach", "opencode://peer.local", "hello"]);
    // The name is avahi's, and not the server's own: without a password it does not answer to it.
    run.assert_status(4);
    assert!(run.stderr.contains("allowedHosts"), "{run:?}");

    publish("two", "Another one", "9");
    a.await_servers("both are found", |servers| servers.len() == 2);
    let run = a.run(&["status", "--attach", "opencode://peer.local"]);
    run.assert_status(2);
    for port in [port(&server), "9".into()] {
        assert!(run.stderr.contains(&format!("opencode://peer.local:{port}")), "{run:?}");
    }
    let run = a.run(&["status", "--attach", "opencode://peer.local:9"]);
    run.assert_status(3);
    assert!(run.stderr.contains("nothing listens"), "{run:?}");
}

#[test]
fn of_servers_with_one_name_each_gets_its_own() {
    let Some((a, b)) = Machine::pair() else { return };
    let _first = a.announce("opencode.local");
    // On the same machine, and so with the same addresses.
    let second = a.announce("opencode-2.local");
    assert!(second.log.text().contains("opencode.local is taken on this network, by 10.77.0.1"));
    let third = b.announce("opencode-3.local");
    let names = |servers: &[Value]| {
        let names = servers.iter().map(|server| server["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    let all = ["opencode-2.local", "opencode-3.local", "opencode.local"];
    for machine in [&a, &b] {
        machine.await_servers("all three are found", |servers| names(servers) == all);
    }
    for (server, address, status) in [
        (&second, "10.77.0.1", "\"mdnsDomain\":\"opencode-2.local\""),
        (&third, "10.77.0.2", "\"mdnsDomain\":\"opencode-3.local\""),
    ] {
        let url = format!("http://{address}:{}/api/status", port(server));
        let Ok(told) = a.enter("curl").args(["-s", &url]).output() else { return };
        let told = String::from_utf8(told.stdout).unwrap();
        assert!(told.contains(status), "{told}");
        let own = url.replace("10.77.0.1", "opencode-2.local");
        let wanted = url.replace("10.77.0.1", "opencode.local");
        if address == "10.77.0.1" {
            for (url, code) in [(own, "200"), (wanted, "403")] {
                let host = url.split('/').nth(2).unwrap();
                let resolve = format!("{host}:10.77.0.1");
                let asked = a
                    .enter("curl")
                    .args([
                        "-s",
                        "-o",
                        "/dev/null",
                        "-w",
                        "%{http_code}",
                        "--resolve",
                        &resolve,
                        &url,
                    ])
                    .output()
                    .unwrap();
                assert_eq!(String::from_utf8(asked.stdout).unwrap(), code, "{url}");
            }
        }
    }
}

#[test]
fn a_network_that_comes_later_is_served_and_addresses_that_change_are_told() {
    let Some((a, b)) = Machine::pair() else { return };
    a.ip(&["link", "set", "cable", "down"]);
    let server = a.serve(World::new().env("OPENCODE_MDNS", "true"));
    await_log(&server, "there is no network to announce this server on yet");
    a.ip(&["link", "set", "cable", "up"]);
    await_log(&server, "announced on the local network as opencode.local");
    let addresses = |servers: &[Value]| match servers {
        [one] => {
            let all = one["addresses"].as_array().unwrap().iter();
            all.map(|a| a.as_str().unwrap().split(':').next().unwrap().to_owned()).collect()
        }
        _ => Vec::new(),
    };
    b.ip(&["address", "add", "10.78.0.2/24", "dev", "cable"]);
    a.ip(&["address", "add", "10.78.0.1/24", "dev", "cable"]);
    b.await_servers("both addresses are told", |servers| {
        addresses(servers) == ["10.77.0.1", "10.78.0.1"]
    });
    a.ip(&["address", "del", "10.77.0.1/24", "dev", "cable"]);
    b.await_servers("one is told", |servers| addresses(servers) == ["10.78.0.1"]);
    b.run(&["status", "--attach", "opencode://opencode.local"]).assert_status(0);
    // Another network, beside the first one.
    let other = b.holder.child.id().to_string();
    a.ip(&["link", "add", "second", "type", "veth", "peer", "name", "second", "netns", &other]);
    for (machine, address) in [(&a, "10.79.0.1/24"), (&b, "10.79.0.2/24")] {
        machine.ip(&["address", "add", address, "dev", "second"]);
        machine.ip(&["link", "set", "second", "up"]);
    }
    b.await_servers("each network tells its own", |servers| {
        addresses(servers) == ["10.78.0.1", "10.79.0.1"]
    });
    // A server of one address is told with it, and on its network alone.
    let one = World::new().env("OPENCODE_MDNS", "true").env("OPENCODE_HOSTNAME", "10.79.0.1");
    let one = a.serve(one.env("OPENCODE_MDNS_DOMAIN", "one.local"));
    await_log(&one, "announced on the local network as one.local");
    let found = b.await_servers("the second server is found", |servers| servers.len() == 2);
    assert_eq!(found[0]["addresses"].as_array().unwrap().len(), 1);
    assert_eq!(found[0]["url"], format!("http://10.79.0.1:{}", port(&one)));
}

#[test]
fn ipv6_is_told_where_it_is_listened_on() {
    let Some((a, b)) = Machine::pair() else { return };
    a.ip(&["address", "add", "fd77::1/64", "dev", "cable", "nodad"]);
    b.ip(&["address", "add", "fd77::2/64", "dev", "cable", "nodad"]);
    let world = |address: &str, name: &str| {
        let world = World::new().env("OPENCODE_MDNS", "1").env("OPENCODE_HOSTNAME", address);
        world.env("OPENCODE_MDNS_DOMAIN", name)
    };
    let six = a.serve(world("fd77::1", "six.local"));
    let both = a.serve(world("::", "both.local"));
    await_log(&six, "announced on the local network as six.local");
    await_log(&both, "announced on the local network as both.local");
    let found = b.await_servers("both are found", |servers| servers.len() == 2);
    let (both_port, six_port) = (port(&both), port(&six));
    let addresses = serde_json::json!([
        [format!("10.77.0.1:{both_port}"), format!("[fd77::1]:{both_port}")],
        [format!("[fd77::1]:{six_port}")],
    ]);
    assert_eq!(found[0]["addresses"], addresses[0]);
    assert_eq!(found[1]["addresses"], addresses[1]);
    let run = b.run(&["run", "--attach", "opencode://six.local", "hello"]);
    run.assert_status(0);
}

#[test]
fn what_is_not_there_is_said_within_seconds() {
    let Some((a, _b)) = Machine::pair() else { return };
    let alone = Machine::new().unwrap();
    let server = a.serve(World::new());
    for (machine, args, word) in [
        (&a, &["discover", "--timeout", "0.2"][..], "no server answered within 0.2 s"),
        (&a, &["status", "--attach", "opencode://nobody.local"], "nobody on the local network"),
        (&a, &["models", "--attach", "opencode://nobody.local:80"], "nobody on the local network"),
        (&a, &["status", "--attach", "http://nobody.local:80"], "cannot reach http://nobody.local"),
        (&alone, &["discover"], "on no network"),
        (&alone, &["run", "--attach", "opencode://box.local", "x"], "on no network"),
    ] {
        let start = std::time::Instant::now();
        let run = machine.run(args);
        run.assert_status(3);
        assert!(run.stderr.contains(word), "{args:?}: {run:?}");
        assert_eq!(run.stderr.trim_end().lines().count(), 1, "{run:?}");
        assert!(start.elapsed() < PATIENCE, "{args:?}");
    }
    assert_eq!(a.run(&["discover", "--json", "--timeout", "0.1"]).stdout, "[]\n");
    a.run(&["discover", "--timeout", "soon"]).assert_status(2);
    // The time of a run holds for the look-up, too.
    let run = a.run(&["run", "--timeout", "0.2", "--attach", "opencode://nobody.local", "x"]);
    run.assert_status(124);
    // The scheme works with any host.
    let url = format!("opencode://127.0.0.1:{}", port(&server));
    a.run(&["status", "--attach", &url]).assert_status(0);
}

#[test]
fn a_server_that_nobody_else_can_reach_is_not_announced() {
    let server = World::new().serve_with(&["--mdns"]);
    await_log(&server, "nothing is announced: the server listens on 127.0.0.1 alone");
    assert_eq!(server.get("/api/status")["server"]["mdnsDomain"], "opencode.local");
    let strange = server.ask_with("GET", "/api/status", &[("Host", "opencode.local")], None);
    assert_eq!(strange.status, 403, "a name that was not claimed may be another machine's");
}

#[test]
fn who_asks_from_another_port_is_answered_alone_and_from_beyond_the_group_never() {
    let Some((a, b)) = Machine::pair() else { return };
    let _server = a.announce("opencode.local");
    let answers = b.within(|| {
        let socket = UdpSocket::bind("10.77.0.2:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let ask = |id: u16, to: [u8; 4]| {
            let mut query = Packet::new_query(id);
            let name = Name::new_unchecked("opencode.local");
            query.questions.push(Question::new(name, TYPE::A.into(), CLASS::IN.into(), false));
            let to = SocketAddr::from((Ipv4Addr::from(to), 5353));
            socket.send_to(&query.build_bytes_vec().unwrap(), to).unwrap();
        };
        // To the machine itself, as what is routed here would come, then to the group.
        ask(1, [10, 77, 0, 1]);
        rustix::net::sockopt::set_ip_multicast_if(&socket, &Ipv4Addr::new(10, 77, 0, 2)).unwrap();
        ask(2, [224, 0, 0, 251]);
        let mut buffer = [0; 1500];
        loop {
            match socket.recv_from(&mut buffer) {
                Ok((count, from)) => break Some((buffer[..count].to_vec(), from)),
                // The kernel says that nobody listens on that address's port.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
                Err(_) => break None,
            }
        }
    });
    let (bytes, from) = answers.expect("an answer");
    assert_eq!(from, SocketAddr::from(([10, 77, 0, 1], 5353)));
    let answer = Packet::parse(&bytes).unwrap();
    assert_eq!((answer.id(), answer.answers.len()), (2, 1));
}

/// The user's own choice of a library, as a client that this project did not write.
#[test]
fn the_resolver_of_simple_mdns_finds_the_server() {
    let Some((a, b)) = Machine::pair() else { return };
    b.ip(&["route", "add", "224.0.0.0/4", "dev", "cable"]);
    let _server = a.announce("opencode.local");
    let found = b.within(|| {
        use simple_mdns::{NetworkScope, sync_discovery::OneShotMdnsResolver};
        let scope = NetworkScope::V4WithInterface(Ipv4Addr::new(10, 77, 0, 2));
        let mut resolver = OneShotMdnsResolver::new_with_scope(scope).unwrap();
        // It asks once; what was told a moment ago is not told again.
        resolver.set_query_timeout(Duration::from_secs(1));
        let end = std::time::Instant::now() + PATIENCE;
        let ask = || resolver.query_service_address("opencode.local").unwrap();
        std::iter::repeat_with(ask).find(|found| found.is_some() || std::time::Instant::now() > end)
    });
    assert_eq!(found, Some(Some(Ipv4Addr::new(10, 77, 0, 1).into())));
}

#[test]
fn a_machine_that_has_avahi_shares_its_port() {
    let Some((a, b)) = Machine::pair() else { return };
    let Some(avahi) = b.avahi() else { return };
    let _server = b.announce("opencode.local");
    a.await_servers("the server is found", |servers| servers.len() == 1);
    await_that("its own avahi lists it", || {
        let list = avahi.ask(&["avahi-browse", "--terminate", "--parsable", "_opencode._tcp"]);
        list.contains(";opencode;")
    });
    let resolved = avahi.ask(&["avahi-resolve", "-4", "--name", "peer.local"]);
    assert_eq!(resolved.trim_end(), "peer.local\t10.77.0.2");
}
