//! The files of a project's server: the lock that says it is served, and the key it signs with.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::StoreError;
use super::small::{self, remove_unfinished, replace};
use crate::id;

/// Holds a project for one server, until it is dropped.
#[derive(Debug)]
pub struct ServerLock {
    file: File,
    root: PathBuf,
}

impl ServerLock {
    /// Claims a project for this server.
    ///
    /// # Errors
    /// [`StoreError::Served`] with the address of the server that has it.
    pub fn claim(root: &Path) -> Result<Self, StoreError> {
        let path = root.join("server");
        let file = small::open_with(OpenOptions::new().read(true).write(true).create(true), &path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                remove_unfinished(&root.join("sessions"));
                Ok(Self { file, root: root.to_owned() })
            }
            Err(Errno::WOULDBLOCK) => {
                let mut address = String::new();
                let _ = file.take(1024).read_to_string(&mut address);
                Err(StoreError::Served(address))
            }
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    /// The secret of this project's servers: made by the first one, and the same after a restart.
    pub fn key(&self) -> io::Result<[u8; 32]> {
        let path = self.root.join("key");
        match small::read(&path) {
            Ok(bytes) => {
                if let Ok(key) = bytes.try_into() {
                    return Ok(key);
                }
                log::warn!("the key of cookies was damaged: who had signed in must do so again");
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => log::warn!("{error}"),
            Err(error) => return Err(error),
        }
        let key = id::secret()?;
        replace(&path, &key, true)?;
        Ok(key)
    }

    /// Tells the address for whoever finds the project taken.
    pub fn announce(&mut self, address: &str) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(address.as_bytes())
    }
}
