//! `POST` and `DELETE /api/login`: the cookie that a page uses instead of sending the password
//! each time. Browsers send no Basic credentials with a WebSocket.

use crate::api::fields::Fields;
use crate::api::{Api, Params};
use crate::error::Problem;
use crate::http::{Answer, Request, Response};

pub(super) fn sign_in(
    api: &Api,
    request: &mut Request<'_>,
    _params: &Params<'_>,
) -> Result<Answer, Problem> {
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
