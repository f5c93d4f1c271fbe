//! Named threads.

use std::io;
use std::thread::{Builder, JoinHandle};

/// Starts a thread of this name.
///
/// # Errors
/// Those of the system, which had no room for it.
pub fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    // Of one type for all of them: the standard library's part is 2 KB for each.
    let run: Box<dyn FnOnce() + Send> = Box::new(run);
    Builder::new().name(name.to_owned()).spawn(run)
}
