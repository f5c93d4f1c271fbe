//! Telling a service manager how the server is: ready, reloading, stopping (`sd_notify(3)`).
//!
//! One datagram of text to the socket that `NOTIFY_SOCKET` names, where there is one. A manager
//! that does not hear is no failure of the server.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::config::Env;
use crate::os;

/// What a manager is told.
#[derive(Debug, Clone, Copy)]
pub(super) enum State {
    /// Requests are answered from now on.
    Ready,
    /// The configuration is read again; [`State::Ready`] follows.
    Reloading,
    /// The end has begun.
    Stopping,
}

/// Tells the service manager, if this runs under one.
pub(super) fn notify(env: &Env, state: State) {
    let Some(socket) = env.get("NOTIFY_SOCKET") else { return };
    let text = match state {
        State::Ready => "READY=1\nSTATUS=answers\n".to_owned(),
        // By its time a manager knows which of its own requests this answers.
        State::Reloading => format!(
            "RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=reads its configuration\n",
            os::monotonic().as_micros()
        ),
        State::Stopping => "STOPPING=1\nSTATUS=lets running turns end\n".to_owned(),
    };
    if let Err(error) = send(socket, &text) {
        log::warn!("the service manager at {socket} was not told: {error}");
    }
}

fn send(socket: &str, text: &str) -> io::Result<()> {
    let address = match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let datagram = UnixDatagram::unbound()?;
    // Nothing may wait for a manager that is busy.
    datagram.set_nonblocking(true)?;
    datagram.send_to_addr(text.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_hears_it_by_path_and_by_abstract_name() {
        let name = format!("opencode-test-{:032x}", crate::id::random());
        let path = std::env::temp_dir().join(&name);
        let by_path = UnixDatagram::bind(&path).unwrap();
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        let by_name = UnixDatagram::bind_addr(&abstract_name).unwrap();
        for (listener, named) in
            [(&by_path, path.to_str().unwrap().to_owned()), (&by_name, format!("@{name}"))]
        {
            let env = Env::from_iter([("NOTIFY_SOCKET", named)]);
            notify(&env, State::Ready);
            let mut came = [0; 64];
            let count = listener.recv(&mut came).unwrap();
            assert!(came[..count].starts_with(b"READY=1\n"), "{came:?}");
            notify(&env, State::Reloading);
            let mut came = [0; 128];
            let count = listener.recv(&mut came).unwrap();
            let text = std::str::from_utf8(&came[..count]).unwrap();
            let time = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
            let time: u128 = time.lines().next().unwrap().parse().unwrap();
            assert!((1..=os::monotonic().as_micros()).contains(&time), "{text}");
        }
        std::fs::remove_file(path).unwrap();
        // Nobody is there any more, and nothing comes of it.
        let env = Env::from_iter([("NOTIFY_SOCKET", "/nowhere/at/all")]);
        notify(&env, State::Stopping);
    }
}
