//! `GET /api/openapi.json` says what the server that is asked does, not what any may do.

use serde_json::{Value, json};

use crate::program::World;

fn security_and_cookie(document: &Value) -> (&Value, &str) {
    let name = &document["components"]["securitySchemes"]["cookie"]["name"];
    (&document["security"], name.as_str().unwrap())
}

#[test]
fn without_a_password_nothing_needs_credentials() {
    let server = World::new().serve();
    let document = server.get("/api/openapi.json");
    assert_eq!(security_and_cookie(&document).0, &json!([]));
    assert_eq!(document["servers"], json!([{ "url": "/" }]));
}

#[test]
fn with_a_password_it_needs_one_and_names_the_servers_own_cookie() {
    let server = World::new().env("OPENCODE_SERVER_PASSWORD", "s3cret").serve();
    assert_eq!(server.ask("GET", "/api/openapi.json", None).status, 401);
    let document = server.get_as("s3cret", "/api/openapi.json");
    let signed_in = server.post("/api/login", &json!({ "password": "s3cret" }));
    let (name, _) = signed_in.field("Set-Cookie").unwrap().split_once('=').unwrap();
    let (security, cookie) = security_and_cookie(&document);
    assert_eq!(security, &json!([{ "basic": [] }, { "cookie": [] }]));
    assert_eq!(cookie, name);
    assert_eq!(document["paths"]["/api/login"]["post"]["security"], json!([{}]));
}

#[test]
fn below_a_base_path_it_says_so() {
    let server = World::new().config(&json!({ "server": { "basePath": "/code" } })).serve();
    let document = server.get("/code/api/openapi.json");
    assert_eq!(document["servers"], json!([{ "url": "/code" }]));
}
