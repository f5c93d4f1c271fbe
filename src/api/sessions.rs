//! The endpoints of sessions.

use serde_json::json;

use crate::api::fields::Fields;
use crate::api::{Api, Params};
use crate::error::{Code, Problem};
use crate::http::{Answer, Request, Response};
use crate::session::TITLE_CHARS;

/// Sessions and messages of one page where the client names no limit.
const ALL: usize = usize::MAX;

pub(super) fn list(
    api: &Api,
    _request: &mut Request<'_>,
    params: &Params<'_>,
) -> Result<Answer, Problem> {
    let limit = params.count("limit")?;
    let before = params.before()?;
    // One more than asked for tells whether there are more.
    let wanted = limit.unwrap_or(ALL);
    let mut sessions = api.sessions.list(before.as_deref(), wanted.saturating_add(1))?;
    let more = sessions.len() > wanted;
    sessions.truncate(wanted);
    let last = sessions.last().map(|session| session.id.clone());
    let response = Response::json(200, &sessions);
    Ok(Answer::Full(match (more, last) {
        (true, Some(last)) => {
            let base = &api.facts.server.base_path;
            let link = format!("<{base}/api/sessions?limit={wanted}&before={last}>; rel=\"next\"");
            response.header("Link", link)
        }
        _ => response,
    }))
}

pub(super) fn create(
    api: &Api,
    request: &mut Request<'_>,
    _params: &Params<'_>,
) -> Result<Answer, Problem> {
    let fields = Fields::read(request)?;
    let title = fields.string("title")?.map(|title| checked_title(&title)).transpose()?;
    let session = api.sessions.create(title, fields.string("agent")?, fields.string("model")?)?;
    let location = format!("{}/api/sessions/{}", api.facts.server.base_path, session.id);
    Ok(Answer::Full(Response::json(201, &session).header("Location", location)))
}

pub(super) fn get(
    api: &Api,
    _request: &mut Request<'_>,
    params: &Params<'_>,
) -> Result<Answer, Problem> {
    let (before, limit) = (params.before()?, params.count("limit")?);
    let (session, page) = match (&before, limit) {
        (None, None) => api.sessions.get(params.id)?,
        _ => api.sessions.page(params.id, before.as_deref(), limit.unwrap_or(ALL))?,
    };
    let next = page.messages.first().filter(|_| page.has_older).map(|first| first.id.clone());
    let mut body = json!(session);
    body["messages"] = json!(page.messages);
    body["lastEventId"] = json!(page.last);
    body["pendingPermissions"] = json!(api.sessions.pending(params.id));
    let response = Response::json(200, &body);
    Ok(Answer::Full(match limit.zip(next) {
        Some((limit, first)) => {
            let (base, id) = (&api.facts.server.base_path, params.id);
            let link =
                format!("<{base}/api/sessions/{id}?limit={limit}&before={first}>; rel=\"next\"");
            response.header("Link", link)
        }
        None => response,
    }))
}

pub(super) fn rename(
    api: &Api,
    request: &mut Request<'_>,
    params: &Params<'_>,
) -> Result<Answer, Problem> {
    let title = checked_title(&Fields::read(request)?.required("title")?)?;
    Ok(Answer::Full(Response::json(200, &api.sessions.rename(params.id, &title)?)))
}

pub(super) fn delete(
    api: &Api,
    _request: &mut Request<'_>,
    params: &Params<'_>,
) -> Result<Answer, Problem> {
    api.sessions.delete(params.id)?;
    Ok(Answer::Full(Response::empty(204)))
}

pub(super) fn abort(
    api: &Api,
    _request: &mut Request<'_>,
    params: &Params<'_>,
) -> Result<Answer, Problem> {
    api.sessions.abort(params.id)?;
    Ok(Answer::Full(Response::json(202, &json!({ "sessionId": params.id, "aborting": true }))))
}

pub(super) fn permit(
    api: &Api,
    request: &mut Request<'_>,
    params: &Params<'_>,
) -> Result<Answer, Problem> {
    let reply = Fields::read(request)?.required("reply")?;
    api.sessions.reply_permission(params.id, &reply)?;
    Ok(Answer::Full(Response::empty(204)))
}

pub(super) fn checked_title(title: &str) -> Result<String, Problem> {
    // What cannot be seen, or turns the direction of what follows, is no part of a name.
    let is_hidden = |c: char| {
        matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    let seen = title.chars().filter(|&c| !is_hidden(c));
    let title: String = seen.map(|c| if c.is_control() { ' ' } else { c }).collect();
    let title = title.trim().to_owned();
    if title.is_empty() {
        return Err(Problem::new(Code::BadField, "`title` is empty"));
    }
    // A person may name a session at more length than a first line is cut to.
    let most = TITLE_CHARS * 4;
    if title.chars().count() > most {
        let detail = format!("`title` is over {most} characters");
        return Err(Problem::new(Code::BadField, detail));
    }
    Ok(title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_what_can_be_seen_of_it() {
        for (given, kept) in [
            (" a\nb\t", "a b"),
            ("\u{202e}abc\u{feff}", "abc"),
            ("\u{1f469}\u{200d}\u{1f4bb} at work", "\u{1f469}\u{200d}\u{1f4bb} at work"),
        ] {
            assert_eq!(checked_title(given).as_deref(), Ok(kept));
        }
        for empty in ["", " \n", "\u{202e}", "\u{200b}\u{feff} "] {
            assert_eq!(checked_title(empty).unwrap_err().code, Code::BadField, "{empty:?}");
        }
    }
}
