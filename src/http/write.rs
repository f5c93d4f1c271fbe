//! Writing within a total time: a client that takes a byte now and then holds no thread for ever.

use std::io::{self, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Bytes a second that a client has to take, beside the write time-out: a slow line is no attack.
const RATE: u64 = 16 * 1024;

/// Writes all bytes. The socket's write time-out bounds a stand-still, and with the length the
/// whole.
pub(super) fn write_all(socket: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    let mut socket = socket;
    let mut rest = bytes;
    let mut end = None;
    while !rest.is_empty() {
        match socket.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        // Most answers are taken at once, and need no clock.
        if !rest.is_empty() {
            let end = match end {
                Some(end) => end,
                None => *end.insert(Instant::now() + allowance(socket, rest.len())?),
            };
            if Instant::now() > end {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
    Ok(())
}

fn allowance(socket: &TcpStream, bytes: usize) -> io::Result<Duration> {
    let still = socket.write_timeout()?.unwrap_or(Duration::from_secs(3600));
    Ok(still + Duration::from_secs(bytes as u64 / RATE))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn one_who_keeps_up_gets_all_and_one_who_stands_still_is_left_behind() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connected = || {
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let server = listener.accept().unwrap().0;
            server.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
            (client, server)
        };
        let many = vec![b'x'; 64 << 20];
        let (mut client, server) = connected();
        let reader = std::thread::spawn(move || io::copy(&mut client, &mut io::sink()).unwrap());
        server.set_write_timeout(None).unwrap();
        write_all(&server, &many).unwrap();
        drop(server);
        assert_eq!(reader.join().unwrap(), many.len() as u64);

        let (still, server) = connected();
        assert!(write_all(&server, &many).is_err());
        drop(still);
        // The kernel rounds the time-out to its ticks.
        let still = allowance(&server, 0).unwrap();
        let whole = allowance(&server, RATE as usize * 3).unwrap();
        assert_eq!(whole, still + Duration::from_secs(3));
    }
}
