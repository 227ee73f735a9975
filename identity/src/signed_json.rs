//! Objects that are signed ([spec v1.19, Appendices § Signing JSON](https://spec.matrix.org/v1.19/appendices/#signing-json)).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::Object;

/// An object of these members.
pub fn object<const N: usize>(members: [(&str, Value); N]) -> Object {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What is signed: [canonical JSON](https://spec.matrix.org/v1.19/appendices/#canonical-json) without signatures.
pub fn canonical(object: &Object) -> String {
    let mut signed = object.clone();
    signed.remove("signatures");
    signed.remove("unsigned");
    let mut text = String::new();
    write(&Value::Object(signed), &mut text);
    text
}

/// Adds `user_id`'s signature by the key of that name.
pub fn add_signature(object: &mut Object, user_id: &str, key: &str, signature: String) {
    let signatures = object.entry("signatures").or_insert_with(|| json!({}));
    signatures[user_id][format!("ed25519:{key}")] = signature.into();
}

/// Sorted here, whatever order `serde_json` keeps members in: that is a feature any crate may switch on.
fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => {
            for (index, (name, member)) in members.iter().collect::<BTreeMap<_, _>>().into_iter().enumerate() {
                text.push(if index == 0 { '{' } else { ',' });
                *text += &Value::from(name.as_str()).to_string();
                text.push(':');
                write(member, text);
            }
            *text += if members.is_empty() { "{}" } else { "}" };
        }
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(item, text);
            }
            text.push(']');
        }
        scalar => *text += &scalar.to_string(),
    }
}
