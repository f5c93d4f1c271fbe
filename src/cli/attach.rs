//! `opencode attach`: the terminal UI on a running server.

use std::io::{self, IsTerminal};

use crate::cancel::Cancel;
use crate::cli::exit::{Exit, Failure};
use crate::cli::flags::Typed;
use crate::cli::password::{self, Signalled};
use crate::client::Target;
use crate::config::{self, Env};
use crate::tui::{self, Ended, Wish};

pub(super) fn attach(typed: &Typed, env: &Env) -> Result<Exit, Failure> {
    let [url] = &typed.words[..] else {
        let text = "give one URL, as in `opencode attach http://localhost:4096`";
        return Err(Failure::usage("attach", text));
    };
    let wish = Wish {
        session: typed.value("session").map(str::to_owned),
        newest: typed.switch("continue")? == Some(true),
        agent: typed.value("agent").map(str::to_owned),
        model: typed.value("model").map(str::to_owned),
    };
    if wish.session.is_some() && wish.newest {
        return Err(Failure::usage("attach", "--session and --continue exclude each other"));
    }
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        let text = "attach needs a terminal; for scripts there is `opencode run --attach URL`";
        return Err(Failure::new(Exit::Usage, text));
    }
    let target = Target::new(url, env, typed.value("ca"))?;
    let cancel = Cancel::new();
    let (remote, prepared) =
        password::signed_in(target, env, Signalled::Command, &cancel, |remote| {
            Ok((remote.clone(), tui::prepare(remote, &wish, &cancel)?))
        })?;
    let kept = config::data_dir(env).map(|folder| folder.join("prompts.jsonl"));
    let ended = tui::run(&remote, prepared, kept, |name| env.get(name).map(str::to_owned));
    match ended {
        Ok(Ended::Left) => Ok(Exit::Ok),
        Ok(Ended::Interrupted) => Ok(Exit::Interrupted),
        Ok(Ended::Terminated) => Ok(Exit::Terminated),
        Ok(Ended::HungUp) => Ok(Exit::HungUp),
        Err(error) => Err(Failure::new(Exit::Failed, format!("terminal: {error}"))),
    }
}
