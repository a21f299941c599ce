//! JSON as policies need it: bounded, and without a key that is there twice.

use core::fmt;
use core::ops::Range;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON value. Numbers and booleans keep their text: conditions compare them as such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Json {
    Null,
    /// A number or a boolean.
    Scalar(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads a text. Nesting is bounded by serde_json (128 levels), the size by whoever has the text.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyJson)
    }
}

struct AnyJson;

impl<'de> Visitor<'de> for AnyJson {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Scalar(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Scalar(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Scalar(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Scalar(value.to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = access.next_element()? {
            list.push(value);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let (mut members, mut names) = (Vec::new(), std::collections::BTreeSet::new());
        while let Some((name, value)) = access.next_entry::<String, Json>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format_args!("`{name}` is there twice")));
            }
            members.push((name, value));
        }
        Ok(Json::Object(members))
    }
}

/// Where each statement of a document stands in it, in bytes; nothing for what is no document.
pub(super) fn statements(text: &str) -> Vec<Range<usize>> {
    let place = |raw: &RawValue| {
        let start = raw.get().as_ptr().addr().checked_sub(text.as_ptr().addr())?;
        Some(start..start + raw.get().len())
    };
    let Ok(Document(Some(all))) = serde_json::from_str::<Document<'_>>(text) else {
        return Vec::new();
    };
    match serde_json::from_str::<Vec<&RawValue>>(all.get()) {
        Ok(list) => list.into_iter().filter_map(place).collect(),
        Err(_) => place(all).into_iter().collect(),
    }
}

/// A document of which only `Statement` counts.
struct Document<'a>(Option<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Document<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Document<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut access: A,
            ) -> Result<Document<'de>, A::Error> {
                let mut found = None;
                while let Some(name) = access.next_key::<String>()? {
                    if name == "Statement" {
                        found = Some(access.next_value()?);
                    } else {
                        access.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Document(found))
            }
        }

        deserializer.deserialize_map(Members)
    }
}
