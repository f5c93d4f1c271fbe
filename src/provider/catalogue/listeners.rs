//! Which ports of this machine are listened on, and by whom.

use std::fs::File;
use std::io::{self, BufReader};

/// The sockets that listen, as the kernel tells them.
pub(super) struct Listeners {
    /// A port and the id of its socket's owner.
    sockets: Vec<(u16, u32)>,
    is_told: bool,
}

impl Listeners {
    /// Those there are now.
    pub(super) fn now() -> Self {
        let mut this = Self { sockets: Vec::new(), is_told: false };
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            if let Ok(table) = File::open(table) {
                this.is_told |= this.read(BufReader::new(table)).is_ok();
            }
        }
        this
    }

    /// Whether a port is known to have nobody. Where nothing can be seen, nothing is known.
    pub(super) fn are_none_at(&self, port: u16) -> bool {
        self.is_told && self.owners(port).next().is_none()
    }

    /// Whether nobody but this user and root listens on a port, and one of them does.
    pub(super) fn are_trusted_at(&self, port: u16, user: u32) -> bool {
        let mut owners = self.owners(port).peekable();
        owners.peek().is_some() && owners.all(|owner| owner == user || owner == 0)
    }

    fn owners(&self, port: u16) -> impl Iterator<Item = u32> {
        self.sockets.iter().filter(move |(at, _)| *at == port).map(|(_, owner)| *owner)
    }

    /// Reads a table as proc(5) describes it. It has a row for each connection too, of which a busy
    /// machine has tens of thousands: those are let go unread.
    fn read(&mut self, mut table: impl io::BufRead) -> io::Result<()> {
        let mut row = String::new();
        while table.read_line(&mut row)? > 0 {
            self.sockets.extend(listening(&row));
            row.clear();
        }
        Ok(())
    }
}

/// The port and the owner of a row, if it is of a socket that listens.
fn listening(row: &str) -> Option<(u16, u32)> {
    let mut fields = row.split_ascii_whitespace();
    let local = fields.nth(1)?;
    // 0A is the state LISTEN.
    fields.nth(1).filter(|state| *state == "0A")?;
    let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
    Some((port, fields.nth(3)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Listeners {
        /// Those of a machine that tells nothing.
        pub(in crate::provider::catalogue) fn untold() -> Self {
            Self { sockets: Vec::new(), is_told: false }
        }
    }

    #[test]
    fn the_owner_of_a_listening_socket_is_found() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n\
             0: 0100007F:2B67 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1\n\
             1: 0100007F:2B67 0100007F:9999 01 00000000:00000000 00:00000000 00000000  1001        0 2\n\
             2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3\n";
        let mut found = Listeners { is_told: true, ..Listeners::untold() };
        found.read(table.as_bytes()).unwrap();
        assert_eq!(found.sockets, [(0x2B67, 1000), (80, 0)]);
        assert!(found.are_none_at(81) && !found.are_none_at(80));
        assert!(found.are_trusted_at(0x2B67, 1000) && !found.are_trusted_at(0x2B67, 1001));
        assert!(found.are_trusted_at(80, 1000) && !found.are_trusted_at(81, 1000));
        assert!(!Listeners::untold().are_none_at(81));
    }

    #[test]
    fn a_socket_of_this_process_is_this_users() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let user = rustix::process::geteuid().as_raw();
        assert!(Listeners::now().are_trusted_at(port, user));
    }
}
