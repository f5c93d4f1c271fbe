//! `GET /api/openapi.json`: the description of all this as `OpenAPI` 3.1.

use crate::api::{Api, Params};
use crate::error::Problem;
use crate::http::{Answer, Request, Response};
use crate::web::packed::{Packed, takes_gzip};

/// With the program's version in it.
const DOCUMENT: Packed =
    Packed(include_bytes!(concat!(env!("OUT_DIR"), "/packed/openapi.json.gz")));

pub(super) fn document(
    _api: &Api,
    request: &mut Request<'_>,
    _params: &Params<'_>,
) -> Result<Answer, Problem> {
    let response = Response::new(200).header("Content-Type", "application/json");
    Ok(Answer::Full(DOCUMENT.answer(takes_gzip(request), response)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::DOCUMENT;
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
}
