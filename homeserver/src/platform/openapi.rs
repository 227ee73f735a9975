//! The document of the platform API (OpenAPI 3.1), and a page to read it: both made from the table of calls.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::calls::Calls;

/// Where the calls are.
pub const BASE: &str = "/_vestibule/v1";

/// The document.
#[must_use]
pub fn document(calls: &Calls) -> Value {
    let mut paths = Map::new();
    for entry in &calls.entries {
        let operations = paths.entry(entry.path).or_insert_with(|| json!({}));
        operations[entry.method.as_str().to_ascii_lowercase()] = entry.operation.clone();
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Vestibule's platform API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "For the back end of a video-visit platform. `PUT` makes or changes and may be repeated; times are milliseconds since 1970.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": BASE }],
        "paths": paths,
        "webhooks": webhooks(),
        "components": {
            "schemas": schemas(calls),
            "securitySchemes": {
                "key": { "type": "http", "scheme": "bearer", "description": "Made by `vestibule keys create`. The scope `platform` is all scopes." },
            },
            "parameters": {
                "IdempotencyKey": {
                    "name": "Idempotency-Key",
                    "in": "header",
                    "description": "The same key with the same request gets the same answer for an hour, recovery keys and login tokens included.",
                    "schema": { "type": "string", "minLength": 1, "maxLength": 255 },
                },
            },
            "responses": {
                "Problem": {
                    "description": "It could not be done (RFC 9457).",
                    "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
                },
            },
        },
    })
}

fn schemas(calls: &Calls) -> Map<String, Value> {
    let mut schemas: Map<_, _> = calls.schemas.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    let text = |description: &str| json!({ "type": "string", "description": description });
    schemas.insert(
        "Problem".to_owned(),
        json!({
            "type": "object",
            "description": "What is wrong (RFC 9457). More members may come.",
            "properties": {
                "type": text("`about:blank`: the status says what kind of problem it is."),
                "title": text("The status in words."),
                "status": { "type": "integer", "description": "The status." },
                "detail": text("A sentence: what is wrong, and what to do."),
                "code": text("A code for programs."),
            },
            "required": ["type", "title", "status", "detail", "code"],
        }),
    );
    let user = json!({
        "type": "object",
        "description": "Who it is about, in the platform's words.",
        "properties": {
            "user_id": text("The Matrix user."),
            "host": text("For a host: the platform's id."),
            "session": text("For a participant: the session."),
            "invitee": text("For a participant: the platform's id in the session."),
        },
        "required": ["user_id"],
        "additionalProperties": false,
    });
    schemas.insert("WebhookUser".to_owned(), user);
    schemas
}

/// What is sent to `webhooks.url`.
fn webhooks() -> Value {
    let event = |name: &str, what: &str, data: Value| {
        json!({ "post": {
            "operationId": name,
            "summary": what,
            "parameters": [
                { "name": "webhook-id", "in": "header", "required": true, "description": "The same however often it is sent.", "schema": { "type": "string" } },
                { "name": "webhook-timestamp", "in": "header", "required": true, "description": "When it was sent, in seconds since 1970.", "schema": { "type": "string" } },
                { "name": "webhook-signature", "in": "header", "required": true, "description": "`v1,` and the base64 of the HMAC-SHA-256 of `{id}.{timestamp}.{body}`.", "schema": { "type": "string" } },
            ],
            "requestBody": { "required": true, "content": { "application/json": { "schema": {
                "type": "object",
                "properties": {
                    "type": { "const": name },
                    "timestamp": { "type": "integer", "description": "When it happened, in milliseconds since 1970." },
                    "data": data,
                },
                "required": ["type", "timestamp", "data"],
                "additionalProperties": false,
            } } } },
            "responses": { "2XX": { "description": "Taken. Any other answer, or none within 15 seconds, and it is sent again." } },
        } })
    };
    let user = json!({ "$ref": "#/components/schemas/WebhookUser" });
    let session = json!({
        "type": "object",
        "properties": { "session": { "type": "string" } },
        "required": ["session"],
        "additionalProperties": false,
    });
    json!({
        "message.waiting": event("message.waiting", "A message waits for somebody who is not there. Once, until they come.", user.clone()),
        "user.first_online": event("user.first_online", "A host or participant has signed in for the first time.", user),
        "session.chat_ended": event("session.chat_ended", "A session is over, and its participants are logged out.", session),
    })
}

/// The document for people.
#[must_use]
pub fn page(document: &Value) -> String {
    let text = |value: &Value| escape(value.as_str().unwrap_or_default());
    let mut page = String::from(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Vestibule's platform API</title><link rel=\"stylesheet\" href=\"/_vestibule/v1/docs.css\"></head><body><main>",
    );
    let info = &document["info"];
    let mut line = |line: String| {
        page += &line;
        page.push('\n');
    };
    line(format!(
        "<h1>{} <small>{}</small></h1><p>{}</p>",
        text(&info["title"]),
        text(&info["version"]),
        text(&info["description"])
    ));
    line(format!(
        "<p>As OpenAPI 3.1: <a href=\"{BASE}/openapi.json\">openapi.json</a>. All paths are below <code>{BASE}</code>.</p>"
    ));
    for (path, operations) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in operations.as_object().into_iter().flatten() {
            line(format!("<section><h2><code>{} {}</code></h2>", method.to_ascii_uppercase(), escape(path)));
            line(format!("<p>{}</p>", text(&operation["summary"])));
            let scope = operation["security"][0]["key"][0].as_str();
            line(format!(
                "<p>{}</p>",
                scope.map_or("Needs no key.".to_owned(), |scope| format!("Scope: <code>{scope}</code>"))
            ));
            let mut rows = String::new();
            for parameter in
                operation["parameters"].as_array().into_iter().flatten().filter(|parameter| parameter["in"] == "query")
            {
                let _: std::fmt::Result = write!(
                    rows,
                    "<tr><td><code>?{}</code></td><td>{}</td></tr>",
                    text(&parameter["name"]),
                    text(&parameter["description"])
                );
            }
            let body = &operation["requestBody"]["content"]["application/json"]["schema"];
            members(document, body, "", &mut rows, 0);
            if !rows.is_empty() {
                line(format!("<h3>In</h3><table>{rows}</table>"));
            }
            let mut rows = String::new();
            members(document, &operation["responses"]["200"]["content"]["application/json"]["schema"], "", &mut rows, 0);
            if !rows.is_empty() {
                line(format!("<h3>Out</h3><table>{rows}</table>"));
            }
            line("</section>".to_owned());
        }
    }
    line("<h1>Webhooks</h1>".to_owned());
    for (name, webhook) in document["webhooks"].as_object().into_iter().flatten() {
        line(format!(
            "<section><h2><code>{}</code></h2><p>{}</p></section>",
            escape(name),
            text(&webhook["post"]["summary"])
        ));
    }
    page + "</main></body></html>"
}

/// The look of the page.
pub const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;color-scheme:light dark;margin:0}main{max-width:60rem;margin:0 auto;padding:1rem}\
section{border-top:1px solid #8886;padding:.5rem 0}h2{font-size:1.1rem;margin:.5rem 0}h3{font-size:.9rem;margin:.5rem 0 0}\
table{border-collapse:collapse}td{padding:.15rem 1rem .15rem 0;vertical-align:top}small{font-weight:normal}";

/// How deep members are shown: the API's own objects end before.
const DEPTH_MAX: usize = 5;

fn members(document: &Value, schema: &Value, prefix: &str, rows: &mut String, depth: usize) {
    if depth == DEPTH_MAX {
        return;
    }
    let schema = match schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
        Some(pointer) => document.pointer(pointer).unwrap_or(&Value::Null),
        None => schema,
    };
    if schema["type"] == "array" {
        return members(document, &schema["items"], &format!("{prefix}[]."), rows, depth + 1);
    }
    let required = schema["required"].as_array();
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let optional = !required.is_some_and(|required| required.iter().any(|known| known == name));
        let mark = if optional { " <small>(optional)</small>" } else { "" };
        let description = escape(member["description"].as_str().unwrap_or_default());
        let full = format!("{prefix}{name}").replace(".[]", "[]");
        let _: std::fmt::Result =
            write!(rows, "<tr><td><code>{}</code>{mark}</td><td>{description}</td></tr>", escape(&full));
        if member["type"] == "array" {
            members(document, member, &full, rows, depth + 1);
        } else if member["$ref"].is_string() {
            members(document, member, &format!("{full}."), rows, depth + 1);
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
