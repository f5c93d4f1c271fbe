//! `POST` and `DELETE /api/login`: the cookie that a page uses instead of sending the password
//! each time. Browsers send no Basic credentials with a WebSocket.

use crate::api::fields::Fields;
use crate::api::{Api, Params};
use crate::error::{Code, Problem};
use crate::http::{Answer, Request, Response};

/// Anybody may send one: it takes next to nothing.
const BODY_BYTES: usize = 8 * 1024;

pub(super) fn sign_in(
    api: &Api,
    request: &mut Request<'_>,
    _params: &Params<'_>,
) -> Result<Answer, Problem> {
    if request.declares_more_than(BODY_BYTES) {
        let detail = format!("who signs in sends at most {BODY_BYTES} bytes, and their length");
        return Err(Problem::new(Code::BodyTooLarge, detail));
    }
    api.edge.check_wait(request)?;
    let fields = Fields::read(request)?;
    let (user, password) = (fields.string("username")?, fields.required("password")?);
    let cookie = api.edge.sign_in(request, user.as_deref(), &password)?;
    Ok(Answer::Full(without_body(cookie)))
}

pub(super) fn sign_out(
    api: &Api,
    request: &mut Request<'_>,
    _params: &Params<'_>,
) -> Result<Answer, Problem> {
    Ok(Answer::Full(without_body(api.edge.sign_out(request))))
}

fn without_body(cookie: Option<String>) -> Response {
    let response = Response::empty(204).header("Cache-Control", "no-store");
    match cookie {
        Some(cookie) => response.header("Set-Cookie", cookie),
        None => response,
    }
}
