//! The platform API's document, and that what goes in and out is as it says.

use std::collections::BTreeSet;

use homeserver::platform::{self, openapi};
use homeserver::{client, widget};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Server, answer};

/// Holds a call and its answer against the document. A body that was refused need not fit.
#[track_caller]
pub fn check(method: &Method, path: &str, body: &Value, answer: &Answer) {
    let document = openapi::document(&platform::all());
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<_> = path.split('/').collect();
    let found = document["paths"].as_object().expect("paths").iter().find(|(template, operations)| {
        let places: Vec<_> = template.split('/').collect();
        let fits = |(place, part): (&&str, &&str)| place.starts_with('{') || place == part;
        places.len() == parts.len()
            && places.iter().zip(&parts).all(fits)
            && operations.get(method.as_str().to_lowercase()).is_some()
    });
    let (template, operations) = found.unwrap_or_else(|| panic!("{method} {path} is not in the document"));
    let operation = &operations[method.as_str().to_lowercase()];
    let problem = json!({ "$ref": "#/components/schemas/Problem" });
    let schema = match answer.status {
        200 => {
            let taken = &operation["requestBody"]["content"]["application/json"]["schema"];
            if !taken.is_null() {
                fits(&document, taken, body, "in").unwrap_or_else(|wrong| panic!("{method} {template}: {wrong}"));
            }
            &operation["responses"]["200"]["content"]["application/json"]["schema"]
        }
        _ => &problem,
    };
    fits(&document, schema, &answer.body, "out")
        .unwrap_or_else(|wrong| panic!("{method} {template}: {wrong}: {}", answer.body));
}

/// Whether a value is of a schema, as far as the document uses JSON Schema. A word it does not know is a failure.
fn fits(document: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#')).ok_or(format!("{at}: no {reference}"))?;
        return fits(document, target, value, at);
    }
    for word in schema.as_object().ok_or(format!("{at}: no schema"))?.keys() {
        let known = [
            "type",
            "description",
            "properties",
            "required",
            "additionalProperties",
            "items",
            "minimum",
            "format",
            "pattern",
        ];
        if !known.contains(&word.as_str()) {
            return Err(format!("{at}: this check does not know {word}"));
        }
    }
    let right = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64(),
        Some("boolean") => value.is_boolean(),
        other => return Err(format!("{at}: type {other:?}")),
    };
    if !right {
        return Err(format!("{at} is no {}: {value}", schema["type"]));
    }
    if let Some(start) = schema["pattern"].as_str().and_then(|pattern| pattern.strip_prefix('^'))
        && !value.as_str().is_some_and(|text| text.starts_with(start))
    {
        return Err(format!("{at} does not begin with {start}"));
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if value.get(name.as_str().unwrap_or_default()).is_none() {
            return Err(format!("{at} lacks {name}"));
        }
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        match schema["properties"].get(name) {
            Some(schema) => fits(document, schema, member, &format!("{at}.{name}"))?,
            None if schema["additionalProperties"] == false => return Err(format!("{at}.{name} is not in the document")),
            None => {}
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        fits(document, &schema["items"], item, &format!("{at}[{index}]"))?;
    }
    Ok(())
}

#[test]
fn the_check_finds_what_is_wrong() {
    let document = openapi::document(&platform::all());
    let schema = json!({ "$ref": "#/components/schemas/Host" });
    let host =
        json!({ "host": "ada", "user_id": "@a:b", "organization": "acme", "account": "north", "display_name": "Ada" });
    assert_eq!(fits(&document, &schema, &host, "host"), Ok(()));
    for (member, value) in [("user_id", json!("a")), ("display_name", Value::Null), ("colour", json!("red"))] {
        let mut wrong = host.clone();
        wrong[member] = value;
        assert!(fits(&document, &schema, &wrong, "host").is_err(), "{wrong}");
    }
    let mut wrong = host;
    wrong.as_object_mut().expect("an object").remove("account");
    assert!(fits(&document, &schema, &wrong, "host").is_err());
}

#[tokio::test]
async fn the_document_has_every_call_and_every_call_is_there() {
    let server = Server::start().await;
    let served = answer(server.request(Method::GET, "/_vestibule/v1/openapi.json")).await.ok();
    assert_eq!(served["openapi"], "3.1.0");
    let documents = ["/openapi.json", "/docs", "/docs.css"];
    let routes = widget::routes(client::routes());
    let routed: BTreeSet<_> = routes
        .paths()
        .filter_map(|(method, path)| Some((method.to_string(), path.strip_prefix("/_vestibule/v1")?.to_owned())))
        .filter(|(_, path)| !documents.contains(&path.as_str()))
        .collect();
    let mut described = BTreeSet::new();
    for (path, operations) in served["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            described.insert((method.to_uppercase(), path.clone()));
            assert!(
                operation["summary"].as_str().is_some_and(|text| text.ends_with('.')),
                "{method} {path} says what it does"
            );
            let in_path = operation["parameters"].as_array().expect("a list").iter().filter(|one| one["in"] == "path");
            assert_eq!(in_path.count(), path.matches('{').count(), "{method} {path}");
        }
    }
    assert_eq!(routed, described);
    // Each reference leads somewhere.
    let text = served.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(served.pointer(reference).is_some(), "{reference}");
    }
    let page = server.request(Method::GET, "/_vestibule/v1/docs").send().await.expect("a page");
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let page = page.text().await.expect("text");
    for (_, path) in &described {
        assert!(page.contains(path.as_str()), "{path} is on the page");
    }
}
