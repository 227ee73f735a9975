//! The forms of the platform API's bodies and answers: each type is declared once, for serde and for the document
//! (JSON Schema as OpenAPI 3.1 has it).

use std::collections::BTreeMap;

use engine::account::Secret;
use identity::Object;
use ruma::OwnedUserId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

/// Schemas by the names of their types.
pub type Schemas = BTreeMap<&'static str, Value>;

/// A type that the document can describe.
pub trait Schema {
    /// Whether a member of this type has to be there.
    const REQUIRED: bool = true;

    /// Its schema; a named type puts itself among `schemas` and answers a reference.
    fn schema(schemas: &mut Schemas) -> Value;

    /// Whether it is left out of an object.
    fn is_absent(&self) -> bool {
        false
    }
}

/// For serde: whether a member is left out.
pub fn is_absent<T: Schema>(value: &T) -> bool {
    value.is_absent()
}

macro_rules! plain {
    ($($type:ty => $schema:tt),* $(,)?) => {
        $(impl Schema for $type {
            fn schema(_: &mut Schemas) -> Value {
                json!($schema)
            }
        })*
    };
}
plain! {
    String => { "type": "string" },
    bool => { "type": "boolean" },
    u64 => { "type": "integer", "format": "int64", "minimum": 0 },
    u16 => { "type": "integer", "minimum": 0 },
    OwnedUserId => { "type": "string", "pattern": "^@" },
    Handed => { "type": "string" },
    Object => { "type": "object" },
    BTreeMap<String, Object> => { "type": "object", "additionalProperties": { "type": "object" } },
}

impl<T: Schema> Schema for Option<T> {
    const REQUIRED: bool = false;

    fn schema(schemas: &mut Schemas) -> Value {
        T::schema(schemas)
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl<T: Schema> Schema for Vec<T> {
    fn schema(schemas: &mut Schemas) -> Value {
        json!({ "type": "array", "items": T::schema(schemas) })
    }
}

/// A secret on its way to the platform: shown in the answer and nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handed(pub Secret);

impl Serialize for Handed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for Handed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

/// Declares an object: the type, how it is read and written, and its schema with the documentation of each member.
macro_rules! described {
    ($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $member_doc:literal])+ $member:ident: $type:ty,)* }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[doc = $member_doc])+
            #[serde(skip_serializing_if = "crate::platform::schema::is_absent")]
            pub $member: $type,)*
        }

        $crate::platform::schema::schema_of! {
            $(#[doc = $doc])+ $name { $($(#[doc = $member_doc])+ $member: $type,)* }
        }
    };
}
pub(crate) use described;

/// Declares the schema of an object whose type is there already: all its members, or it does not compile.
macro_rules! schema_of {
    ($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $member_doc:literal])+ $member:ident: $type:ty,)* }) => {
        impl $crate::platform::schema::Schema for $name {
            fn schema(schemas: &mut $crate::platform::schema::Schemas) -> serde_json::Value {
                let _ = |value: &Self| {
                    let Self { $($member),* } = value;
                    $(let _: &$type = $member;)*
                };
                if !schemas.contains_key(stringify!($name)) {
                    #[allow(unused_mut, reason = "an object may have no members")]
                    let (mut members, mut required) = (serde_json::Map::new(), Vec::<&str>::new());
                    $(
                        let mut member = <$type as $crate::platform::schema::Schema>::schema(schemas);
                        member["description"] = $crate::platform::schema::sentence(&[$($member_doc),+]).into();
                        members.insert(stringify!($member).to_owned(), member);
                        if <$type as $crate::platform::schema::Schema>::REQUIRED {
                            required.push(stringify!($member));
                        }
                    )*
                    let schema = serde_json::json!({
                        "type": "object",
                        "description": $crate::platform::schema::sentence(&[$($doc),+]),
                        "properties": members,
                        "required": required,
                        "additionalProperties": false,
                    });
                    schemas.insert(stringify!($name), schema);
                }
                serde_json::json!({ "$ref": concat!("#/components/schemas/", stringify!($name)) })
            }
        }
    };
}
pub(crate) use schema_of;

/// Lines of documentation as one text.
#[must_use]
pub fn sentence(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}
