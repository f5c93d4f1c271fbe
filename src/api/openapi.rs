//! `GET /api/openapi.json`: the description of all this as `OpenAPI` 3.1.

use std::io;
use std::sync::OnceLock;

use crate::api::{Api, Params};
use crate::error::{Code, Problem};
use crate::http::{Answer, Request, Response};
use crate::web::packed::{Packed, takes_gzip};

/// With the program's version in it.
const DOCUMENT: Packed =
    Packed(include_bytes!(concat!(env!("OUT_DIR"), "/packed/openapi.json.gz")));

/// What the document says of any server, and a server's own says better.
const ANY_SECURITY: &str = r#"
  "security": [
    {},
    {
      "basic": []
    },
    {
      "cookie": []
    }
  ],"#;
const WITH_PASSWORD: &str = r#"
  "security": [
    {
      "basic": []
    },
    {
      "cookie": []
    }
  ],"#;
const WITHOUT_PASSWORD: &str = r#"
  "security": [],"#;
const ANY_PLACE: &str = r#"
      "url": "/""#;
const ANY_COOKIE: &str = r#""name": "opencode-…""#;

/// The document as one server has it, made when it is first asked for and kept packed.
#[derive(Default)]
pub(super) struct Description(OnceLock<Packed<Vec<u8>>>);

impl Description {
    fn of(&self, api: &Api) -> io::Result<&Packed<Vec<u8>>> {
        if let Some(made) = self.0.get() {
            return Ok(made);
        }
        let text = String::from_utf8(DOCUMENT.unpacked()?).map_err(io::Error::other)?;
        let own = personal(&text, &api.facts.server.base_path, api.edge.cookie_name());
        let packed = Packed::pack(own.as_bytes())?;
        Ok(self.0.get_or_init(|| packed))
    }
}

/// The document of the server at this path, with the name of its cookie where it has a password.
fn personal(text: &str, base_path: &str, cookie: Option<&str>) -> String {
    let security = if cookie.is_some() { WITH_PASSWORD } else { WITHOUT_PASSWORD };
    let mut text = text.replacen(ANY_SECURITY, security, 1);
    if !base_path.is_empty() {
        let place = serde_json::Value::from(base_path);
        text = text.replacen(ANY_PLACE, &format!("\n      \"url\": {place}"), 1);
    }
    match cookie {
        Some(name) => text.replacen(ANY_COOKIE, &format!("\"name\": \"{name}\""), 1),
        None => text,
    }
}

pub(super) fn document(
    api: &Api,
    request: &mut Request<'_>,
    _params: &Params<'_>,
) -> Result<Answer, Problem> {
    let document = api.description.of(api).map_err(|error| {
        log::error!("the description of the API cannot be made: {error}");
        Problem::new(Code::Internal, "the description cannot be made; the server's log says why")
    })?;
    let response = Response::new(200).header("Content-Type", "application/json");
    Ok(Answer::Full(document.answer(takes_gzip(request), response)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::{DOCUMENT, personal};
    use crate::api::ROUTES;
    use crate::error::Code;

    fn document() -> Value {
        serde_json::from_slice(&DOCUMENT.unpacked().unwrap()).unwrap()
    }

    #[test]
    fn the_document_names_every_route_and_no_other() {
        let document = document();
        let mut told: BTreeSet<_> = BTreeSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for method in operations.as_object().unwrap().keys().filter(|key| *key != "parameters")
            {
                told.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
        assert!(told.remove("GET /healthz"), "the health check is answered before the table");
        let routes = ROUTES
            .iter()
            .filter(|route| route.path.starts_with("/api") || route.path == "/metrics");
        let there: BTreeSet<_> =
            routes.map(|route| format!("{} {}", route.method, route.path)).collect();
        assert_eq!(told, there);
    }

    #[test]
    fn the_document_has_the_programs_version() {
        assert_eq!(document()["info"]["version"], env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn the_document_names_every_code() {
        let document = document();
        let codes = document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect::<BTreeSet<_>>();
        assert_eq!(codes, Code::ALL.iter().map(|code| code.as_str()).collect());
    }

    #[test]
    fn what_is_personal_is_found_in_it() {
        let text = String::from_utf8(DOCUMENT.unpacked().unwrap()).unwrap();
        let own: Value = serde_json::from_str(&personal(&text, "/a\"b", Some("cake"))).unwrap();
        assert_eq!(own["servers"][0]["url"], "/a\"b");
        assert_eq!(own["security"].as_array().unwrap().len(), 2);
        assert_eq!(own["components"]["securitySchemes"]["cookie"]["name"], "cake");
        let open: Value = serde_json::from_str(&personal(&text, "", None)).unwrap();
        assert_eq!(open["security"], Value::Array(Vec::new()));
    }
}
