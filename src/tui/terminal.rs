//! The person's terminal: taken, drawn on, and given back as it was, however the program ends.
//!
//! The backend writes what ratatui's own would, without crossterm, which brings mio: the house does
//! without an event loop's machinery. Keys are read in [`super::keys`].

use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ratatui_core::backend::{Backend, ClearType, WindowSize};
use ratatui_core::buffer::Cell;
use ratatui_core::layout::{Position, Size};
use ratatui_core::style::{Color, Modifier};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::os;

/// Title kept, alternate screen, bracketed paste, autowrap off.
const TAKE: &str = "\x1b[22;0t\x1b[?1049h\x1b[?2004h\x1b[?7l\x1b[2J\x1b[H";
/// The same undone, colours and cursor too.
const GIVE: &str = "\x1b[0m\x1b[?7h\x1b[?2004l\x1b[?25h\x1b[?1049l\x1b[23;0t";

/// The last word after a panic.
const REPORT: &str = concat!(
    "This is a fault of opencode ",
    env!("CARGO_PKG_VERSION"),
    ". Please report it where you found the program, with the lines above; the server and its \
     turns go on.\n"
);

/// The terminal while it is taken. Clones share it; it is given back once.
#[derive(Clone, Default)]
pub(super) struct Held(Arc<Taken>);

#[derive(Default)]
struct Taken {
    /// What the terminal was, while it is not that.
    before: Mutex<Option<Termios>>,
    /// Held while something is written, so that nothing is drawn on a terminal that was given back.
    /// To be locked before the other; a terminal that takes nothing may keep it for ever.
    writing: Mutex<()>,
}

impl Held {
    /// Takes the terminal: raw, another screen. A panic, in whatever thread, gives it back, is told
    /// and ends the program.
    pub(super) fn take() -> io::Result<Self> {
        let held = Self::default();
        held.again()?;
        let on_panic = held.clone();
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            on_panic.give_back();
            told(panic);
            let _ = io::stderr().write_all(REPORT.as_bytes());
            // Without one of its threads it would go on half, on a terminal that is not its own.
            std::process::exit(101);
        }));
        Ok(held)
    }

    /// Takes it once more after [`Held::give_back`], or after somebody else changed it.
    pub(super) fn again(&self) -> io::Result<()> {
        let _writing = lock(&self.0.writing);
        let mut kept = lock(&self.0.before);
        let before = match kept.take() {
            Some(before) => before,
            None => tcgetattr(io::stdin())?,
        };
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        *kept = Some(before);
        drop(kept);
        write_all(TAKE.as_bytes())
    }

    /// Gives it back as it was.
    pub(super) fn give_back(&self) {
        let _writing = lock(&self.0.writing);
        if self.restore() {
            // A terminal that is gone needs nothing.
            let _ = write_all(GIVE.as_bytes());
        }
    }

    /// Gives back what can be, of a terminal that may take no word any more.
    pub(super) fn abandon(&self) {
        let is_taken = self.restore();
        if is_taken
            && let Ok(_writing) = self.0.writing.try_lock()
            && os::takes(io::stdout(), Duration::ZERO)
        {
            let _ = write_all(GIVE.as_bytes());
        }
    }

    /// Sets its mode back; tells whether it was another.
    fn restore(&self) -> bool {
        let before = lock(&self.0.before).take();
        if let Some(before) = &before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
        before.is_some()
    }

    /// Names the terminal's window.
    pub(super) fn entitle(&self, title: &str) {
        let title: String = title.chars().filter(|c| !c.is_control()).take(80).collect();
        let _ = self.write(format!("\x1b]2;{title}\x07").as_bytes());
    }

    /// Writes, while it is taken.
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let _writing = lock(&self.0.writing);
        let is_taken = lock(&self.0.before).is_some();
        if is_taken { write_all(bytes) } else { Ok(()) }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Columns and rows of the terminal.
pub(super) fn size() -> (u16, u16) {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        _ => (80, 24),
    }
}

/// Writes past the buffers of the standard library, whose lock a panicking thread may hold.
fn write_all(mut bytes: &[u8]) -> io::Result<()> {
    let stdout = io::stdout();
    while !bytes.is_empty() {
        match rustix::io::write(stdout.as_fd(), bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// How a screen of ratatui is written.
#[derive(Default)]
pub(super) struct Ansi {
    held: Held,
    out: Vec<u8>,
}

impl Ansi {
    pub(super) fn on(held: Held) -> Self {
        Self { held, out: Vec::new() }
    }

    fn put(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn style(&mut self, cell: &Cell) {
        let mut codes = String::from("\x1b[0");
        for (modifier, code) in [
            (Modifier::BOLD, ";1"),
            (Modifier::DIM, ";2"),
            (Modifier::ITALIC, ";3"),
            (Modifier::UNDERLINED, ";4"),
            (Modifier::REVERSED, ";7"),
            (Modifier::CROSSED_OUT, ";9"),
        ] {
            if cell.modifier.contains(modifier) {
                codes.push_str(code);
            }
        }
        codes.push_str(&color(cell.fg, 30));
        codes.push_str(&color(cell.bg, 40));
        codes.push('m');
        self.put(&codes);
    }
}

/// The codes of a colour (ECMA-48, and those that xterm added).
fn color(color: Color, base: u8) -> String {
    let named = |offset: u8| format!(";{}", base + offset);
    match color {
        Color::Reset => String::new(),
        Color::Black => named(0),
        Color::Red => named(1),
        Color::Green => named(2),
        Color::Yellow => named(3),
        Color::Blue => named(4),
        Color::Magenta => named(5),
        Color::Cyan => named(6),
        Color::Gray => named(7),
        Color::DarkGray => named(60),
        Color::LightRed => named(61),
        Color::LightGreen => named(62),
        Color::LightYellow => named(63),
        Color::LightBlue => named(64),
        Color::LightMagenta => named(65),
        Color::LightCyan => named(66),
        Color::White => named(67),
        Color::Indexed(index) => format!(";{};5;{index}", base + 8),
        Color::Rgb(r, g, b) => format!(";{};2;{r};{g};{b}", base + 8),
    }
}

impl Backend for Ansi {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut last: Option<(u16, u16, &Cell)> = None;
        for (x, y, cell) in content {
            // A cell beside the last one needs no move, unless that one was wide.
            let follows = last.is_some_and(|(lx, ly, before)| {
                ly == y && lx + 1 == x && before.symbol().len() == 1
            });
            if !follows {
                self.put(&format!("\x1b[{};{}H", y + 1, x + 1));
            }
            let is_alike = last.is_some_and(|(_, _, before)| {
                (before.fg, before.bg, before.modifier) == (cell.fg, cell.bg, cell.modifier)
            });
            if !is_alike {
                self.style(cell);
            }
            self.put(cell.symbol());
            last = Some((x, y, cell));
        }
        if last.is_some() {
            self.put("\x1b[0m");
        }
        Ok(())
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        self.put("\x1b[?25l");
        Ok(())
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        self.put("\x1b[?25h");
        Ok(())
    }

    /// Nobody asks: the whole screen is drawn.
    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        let Position { x, y } = position.into();
        self.put(&format!("\x1b[{};{}H", y + 1, x + 1));
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.put("\x1b[0m\x1b[2J");
        Ok(())
    }

    fn clear_region(&mut self, _region: ClearType) -> io::Result<()> {
        self.clear()
    }

    fn size(&self) -> io::Result<Size> {
        let (width, height) = size();
        Ok(Size { width, height })
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize { columns_rows: self.size()?, pixels: Size::default() })
    }

    fn flush(&mut self) -> io::Result<()> {
        let written = self.held.write(&self.out);
        self.out.clear();
        written
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// Runs itself on a terminal of its own, where it draws and panics.
    #[test]
    fn a_panic_leaves_the_terminal_as_it_was_and_says_where_to_report_it() {
        const INSIDE: &str = "PANICS_ON_THIS_TERMINAL";
        if std::env::var_os(INSIDE).is_some() {
            let held = Held::take().unwrap();
            let mut ansi = Ansi::on(held);
            std::thread::spawn(|| panic!("on purpose"));
            loop {
                ansi.hide_cursor().unwrap();
                ansi.flush().unwrap();
            }
        }
        let program = std::env::current_exe().unwrap();
        let name = std::thread::current().name().unwrap().to_owned();
        let line = format!(
            "stty -a; '{}' --exact {name} --nocapture; echo status $?; stty -a",
            program.display()
        );
        let script = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .env(INSIDE, "1")
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::null())
            .output();
        let output = match script {
            Ok(output) => output,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "script is not installed");
                eprintln!("left out: there is no script on this machine");
                return;
            }
            Err(error) => panic!("{error}"),
        };
        let text = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        let (before, rest) = text.split_once(TAKE).expect("it took the terminal");
        let (_, after) = rest.split_once(GIVE).expect("it gave it back");
        assert!(!after.contains('\x1b'), "something was drawn behind it: {after:?}");
        assert!(after.contains("on purpose") && after.contains(REPORT), "{after:?}");
        let (_, modes) = after.split_once("status 101\n").expect("it ended with 101");
        assert!(modes.contains(" icanon ") && before.contains(modes.trim()), "{text:?}");
    }

    #[test]
    fn cells_are_written_with_as_little_as_they_need() {
        let mut plain = Cell::EMPTY;
        plain.set_symbol("a");
        let mut wide = Cell::EMPTY;
        wide.set_symbol("世").set_fg(Color::Green);
        let mut tinted = Cell::EMPTY;
        tinted.set_symbol("b").set_bg(Color::Rgb(1, 2, 3)).set_fg(Color::Indexed(22));
        let mut ansi = Ansi::default();
        let cells = [(0, 0, &plain), (1, 0, &plain), (2, 0, &wide), (4, 0, &tinted)];
        ansi.draw(cells.into_iter()).unwrap();
        assert_eq!(
            String::from_utf8(ansi.out).unwrap(),
            "\x1b[1;1H\x1b[0maa\x1b[0;32m世\x1b[1;5H\x1b[0;38;5;22;48;2;1;2;3mb\x1b[0m"
        );
    }
}
