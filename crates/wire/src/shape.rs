//! How a shape reads and writes itself, independent of the codec.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::{DecodeError, Problem};
use crate::node::Node;

/// Range that the model gives for a length or a number.
#[derive(Debug, PartialEq)]
pub struct Limits {
    /// Least length or value.
    pub min: Option<f64>,
    /// Greatest length or value.
    pub max: Option<f64>,
    /// Limits of the elements of a list.
    pub element: Option<&'static Limits>,
}

impl Limits {
    /// No limits.
    pub const NONE: Self = Self { min: None, max: None, element: None };

    fn check(&self, value: f64, what: &str) -> Result<(), DecodeError> {
        let problem = match (self.min, self.max) {
            (Some(min), _) if value < min => {
                format!("Member must have {what} greater than or equal to {min}")
            }
            (_, Some(max)) if value > max => {
                format!("Member must have {what} less than or equal to {max}")
            }
            _ => return Ok(()),
        };
        Err(DecodeError::new(Problem::OutOfRange(problem)))
    }
}

/// Who sent the message that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A client: unknown enum values are its error.
    Client,
    /// A server, maybe newer than we are: unknown enum values are skipped.
    Server,
}

/// What a value is read under.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// Limits of this value.
    pub limits: &'static Limits,
    /// Sender.
    pub peer: Peer,
}

impl Context {
    /// The same sender, other limits.
    #[must_use]
    pub fn limited(self, limits: &'static Limits) -> Self {
        Self { limits, ..self }
    }
}

/// A member of a structure, as a codec sees it.
#[derive(Debug, PartialEq)]
pub struct Member {
    /// Name on the wire.
    pub name: &'static str,
    /// Limits from the model.
    pub limits: Limits,
}

/// Receives a value piece by piece; a codec turns the pieces into bytes.
pub trait Sink {
    /// A truth value.
    fn bool(&mut self, value: bool);
    /// A whole number.
    fn int(&mut self, value: i64);
    /// A number.
    fn float(&mut self, value: f64);
    /// A string.
    fn string(&mut self, value: &str);
    /// A point in time.
    fn timestamp(&mut self, value: Timestamp);
    /// Opens a list; its elements follow.
    fn begin_list(&mut self);
    /// Closes the list.
    fn end_list(&mut self);
    /// Opens a map; keys and values follow in turn.
    fn begin_map(&mut self);
    /// A key of a map.
    fn key(&mut self, key: &str);
    /// Closes the map.
    fn end_map(&mut self);
    /// Opens a structure; members and values follow in turn.
    fn begin_structure(&mut self);
    /// A member of a structure.
    fn member(&mut self, member: &'static Member);
    /// Closes the structure.
    fn end_structure(&mut self);
}

/// Anything that stands as a member: scalars, lists, maps, enums and structures.
pub trait Value: Sized {
    /// Reads the value.
    ///
    /// # Errors
    /// When the node has another type, lacks a required member, or breaks a limit.
    fn read(node: &Node<'_>, context: Context) -> Result<Self, DecodeError>;

    /// Writes the value.
    fn write(&self, sink: &mut dyn Sink);
}

/// A value with members.
pub trait Structure: Value {
    /// Members in the model's order.
    const MEMBERS: &'static [Member];
}

impl Value for bool {
    fn read(node: &Node<'_>, _: Context) -> Result<Self, DecodeError> {
        match node {
            Node::Bool(value) => Ok(*value),
            Node::Text(text) => match &**text {
                "true" => Ok(true),
                "false" => Ok(false),
                other => Err(DecodeError::wrong_type("a boolean", other)),
            },
            other => Err(DecodeError::wrong_type("a boolean", other.kind())),
        }
    }

    fn write(&self, sink: &mut dyn Sink) {
        sink.bool(*self);
    }
}

impl Value for i64 {
    #[expect(clippy::cast_precision_loss, reason = "limits in the models are small numbers")]
    fn read(node: &Node<'_>, context: Context) -> Result<Self, DecodeError> {
        let value = match node {
            Node::Int(value) => *value,
            Node::Text(text) => {
                text.parse().map_err(|_| DecodeError::wrong_type("a whole number", text))?
            }
            other => return Err(DecodeError::wrong_type("a whole number", other.kind())),
        };
        context.limits.check(value as f64, "value")?;
        Ok(value)
    }

    fn write(&self, sink: &mut dyn Sink) {
        sink.int(*self);
    }
}

impl Value for i32 {
    fn read(node: &Node<'_>, context: Context) -> Result<Self, DecodeError> {
        let wide = i64::read(node, context)?;
        wide.try_into().map_err(|_| {
            DecodeError::new(Problem::Malformed(format!("{wide} does not fit 32 bits")))
        })
    }

    fn write(&self, sink: &mut dyn Sink) {
        sink.int(i64::from(*self));
    }
}

impl Value for f64 {
    #[expect(clippy::cast_precision_loss, reason = "the member is a double")]
    fn read(node: &Node<'_>, context: Context) -> Result<Self, DecodeError> {
        let value = match node {
            Node::Int(value) => *value as f64,
            Node::Float(value) => *value,
            Node::Text(text) => {
                let value = text.parse().ok().filter(|value: &f64| value.is_finite());
                value.ok_or_else(|| DecodeError::wrong_type("a number", text))?
            }
            other => return Err(DecodeError::wrong_type("a number", other.kind())),
        };
        context.limits.check(value, "value")?;
        Ok(value)
    }

    fn write(&self, sink: &mut dyn Sink) {
        sink.float(*self);
    }
}

impl Value for String {
    #[expect(clippy::cast_precision_loss, reason = "lengths are far below 2^52")]
    fn read(node: &Node<'_>, context: Context) -> Result<Self, DecodeError> {
        let (Node::String(value) | Node::Text(value)) = node else {
            return Err(DecodeError::wrong_type("a string", node.kind()));
        };
        if context.limits != &Limits::NONE {
            context.limits.check(value.chars().count() as f64, "length")?;
        }
        Ok(value.clone().into_owned())
    }

    fn write(&self, sink: &mut dyn Sink) {
        sink.string(self);
    }
}

/// A string that the model marks sensitive: never shown in debug output.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Sensitive(pub String);

impl fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Value for Sensitive {
    fn read(node: &Node<'_>, context: Context) -> Result<Self, DecodeError> {
        String::read(node, context).map(Self)
    }

    fn write(&self, sink: &mut dyn Sink) {
        sink.string(&self.0);
    }
}

/// Bytes, as text in base 64. They are keys and certificates, so debug output does not show them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Blob(pub Vec<u8>);

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Value for Blob {
    #[expect(clippy::cast_precision_loss, reason = "lengths are far below 2^52")]
    fn read(node: &Node<'_>, context: Context) -> Result<Self, DecodeError> {
        let (Node::String(text) | Node::Text(text)) = node else {
            return Err(DecodeError::wrong_type("a base64 string", node.kind()));
        };
        let bytes = data_encoding::BASE64.decode(text.as_bytes());
        let bytes = bytes.map_err(|_| DecodeError::wrong_type("base64", "something else"))?;
        context.limits.check(bytes.len() as f64, "length")?;
        Ok(Self(bytes))
    }

    fn write(&self, sink: &mut dyn Sink) {
        sink.string(&data_encoding::BASE64.encode(&self.0));
    }
}

/// A point in time: seconds since the Unix epoch, with milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Timestamp(pub f64);

impl Value for Timestamp {
    #[expect(clippy::cast_precision_loss, reason = "exact until the year 287396")]
    fn read(node: &Node<'_>, _: Context) -> Result<Self, DecodeError> {
        if let Node::Text(text) = node {
            let time: Result<jiff::Timestamp, _> = text.parse();
            let time = time.map_err(|_| DecodeError::wrong_type("a timestamp", text))?;
            return Ok(Self(time.as_millisecond() as f64 / 1000.0));
        }
        let context = Context { limits: &Limits::NONE, peer: Peer::Client };
        f64::read(node, context).map(Self)
    }

    fn write(&self, sink: &mut dyn Sink) {
        sink.timestamp(*self);
    }
}

impl<T: Value> Value for Box<T> {
    fn read(node: &Node<'_>, context: Context) -> Result<Self, DecodeError> {
        T::read(node, context).map(Self::new)
    }

    fn write(&self, sink: &mut dyn Sink) {
        (**self).write(sink);
    }
}

impl<T: Value> Value for Vec<T> {
    #[expect(clippy::cast_precision_loss, reason = "lengths are far below 2^52")]
    fn read(node: &Node<'_>, context: Context) -> Result<Self, DecodeError> {
        let items = match node {
            Node::List(items) => items.as_slice(),
            // A form has no other way to say that a list is empty.
            Node::Text(text) if text.is_empty() => &[],
            other => return Err(DecodeError::wrong_type("a list", other.kind())),
        };
        context.limits.check(items.len() as f64, "length")?;
        let element = context.limited(context.limits.element.unwrap_or(&Limits::NONE));
        let mut list = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match T::read(item, element) {
                Ok(value) => list.push(value),
                Err(error) if skips(&error, context) => {}
                Err(error) => return Err(error.at_index(index)),
            }
        }
        Ok(list)
    }

    fn write(&self, sink: &mut dyn Sink) {
        sink.begin_list();
        for item in self {
            item.write(sink);
        }
        sink.end_list();
    }
}

impl<T: Value> Value for BTreeMap<String, T> {
    fn read(node: &Node<'_>, context: Context) -> Result<Self, DecodeError> {
        let Node::Map(members) = node else {
            return Err(DecodeError::wrong_type("an object", node.kind()));
        };
        let value = context.limited(&Limits::NONE);
        members
            .iter()
            .map(|(key, node)| match T::read(node, value) {
                Ok(value) => Ok((key.clone().into_owned(), value)),
                Err(error) => Err(error.within(key)),
            })
            .collect()
    }

    fn write(&self, sink: &mut dyn Sink) {
        sink.begin_map();
        for (key, value) in self {
            sink.key(key);
            value.write(sink);
        }
        sink.end_map();
    }
}

/// A document member: any JSON value.
impl Value for serde_json::Value {
    #[expect(clippy::only_used_in_recursion, reason = "a document has no limits")]
    fn read(node: &Node<'_>, context: Context) -> Result<Self, DecodeError> {
        Ok(match node {
            Node::Null => Self::Null,
            Node::Bool(value) => Self::Bool(*value),
            Node::Int(value) => Self::from(*value),
            Node::Float(value) => Self::from(*value),
            Node::String(value) | Node::Text(value) => Self::String(value.clone().into_owned()),
            Node::List(items) => {
                Self::Array(items.iter().map(|i| Self::read(i, context)).collect::<Result<_, _>>()?)
            }
            Node::Map(members) => Self::Object(
                members
                    .iter()
                    .map(|(key, node)| Ok((key.clone().into_owned(), Self::read(node, context)?)))
                    .collect::<Result<_, DecodeError>>()?,
            ),
        })
    }

    fn write(&self, sink: &mut dyn Sink) {
        match self {
            Self::Null => {}
            Self::Bool(value) => sink.bool(*value),
            Self::Number(number) => match number.as_i64() {
                Some(value) => sink.int(value),
                None => sink.float(number.as_f64().unwrap_or(0.0)),
            },
            Self::String(value) => sink.string(value),
            Self::Array(items) => {
                sink.begin_list();
                items.iter().filter(|item| !item.is_null()).for_each(|item| item.write(sink));
                sink.end_list();
            }
            Self::Object(members) => {
                sink.begin_map();
                for (key, value) in members.iter().filter(|(_, value)| !value.is_null()) {
                    sink.key(key);
                    value.write(sink);
                }
                sink.end_map();
            }
        }
    }
}

/// Whether `error` is only a newer server's enum value.
fn skips(error: &DecodeError, context: Context) -> bool {
    context.peer == Peer::Server
        && error.path.is_empty()
        && matches!(error.problem, Problem::UnknownValue { .. })
}

/// Reads a member that may be absent; `null` is absent.
pub(crate) fn read_optional<T: Value>(
    node: &Node<'_>,
    member: &'static Member,
    context: Context,
) -> Result<Option<T>, DecodeError> {
    match node.get(member.name) {
        None | Some(Node::Null) => Ok(None),
        Some(node) => match T::read(node, context.limited(&member.limits)) {
            Ok(value) => Ok(Some(value)),
            Err(error) if skips(&error, context) => Ok(None),
            Err(error) => Err(error.within(member.name)),
        },
    }
}

/// Reads a member that must be there.
pub(crate) fn read_required<T: Value>(
    node: &Node<'_>,
    member: &'static Member,
    context: Context,
) -> Result<T, DecodeError> {
    read_optional(node, member, context)?
        .ok_or_else(|| DecodeError::new(Problem::Missing).within(member.name))
}

/// Requires an object where a structure is read.
pub(crate) fn expect_map(node: &Node<'_>) -> Result<(), DecodeError> {
    match node {
        Node::Map(_) => Ok(()),
        other => Err(DecodeError::wrong_type("an object", other.kind())),
    }
}

/// Reads a string that must be one of `allowed`, giving its index.
pub(crate) fn read_enum(
    node: &Node<'_>,
    allowed: &'static [&'static str],
) -> Result<usize, DecodeError> {
    let (Node::String(given) | Node::Text(given)) = node else {
        return Err(DecodeError::wrong_type("a string", node.kind()));
    };
    allowed.iter().position(|value| value == given).ok_or_else(|| {
        let given = given.chars().take(128).collect();
        DecodeError::new(Problem::UnknownValue { given, allowed })
    })
}

/// Declares a structure: its Rust type, and how it reads and writes itself.
///
/// A row is `field: Type = "wireName" optional|required (limits)`.
macro_rules! structure {
    ($(#[$attribute:meta])* $name:ident {
        $($field:ident: $type:ty = $wire:literal $presence:ident ($limits:expr),)*
    }) => {
        $(#[$attribute])*
        #[derive(Clone, Debug, PartialEq)]
        #[expect(missing_docs, reason = "AWS documents its shapes")]
        pub struct $name {
            $(pub $field: structure!(@type $presence $type),)*
        }

        impl $crate::shape::Structure for $name {
            const MEMBERS: &'static [$crate::shape::Member] =
                &[$($crate::shape::Member { name: $wire, limits: $limits },)*];
        }

        impl $crate::shape::Value for $name {
            #[allow(unused_mut, unused_variables, reason = "a structure may have no members")]
            fn read(
                node: &$crate::node::Node<'_>,
                context: $crate::shape::Context,
            ) -> Result<Self, $crate::error::DecodeError> {
                $crate::shape::expect_map(node)?;
                let mut members = <Self as $crate::shape::Structure>::MEMBERS.iter();
                let mut next = || members.next().expect("one member per field");
                Ok(Self {
                    $($field: structure!(@read $presence)(node, next(), context)?,)*
                })
            }

            #[allow(unused_mut, unused_variables, reason = "a structure may have no members")]
            fn write(&self, sink: &mut dyn $crate::shape::Sink) {
                let mut members = <Self as $crate::shape::Structure>::MEMBERS.iter();
                let mut next = || members.next().expect("one member per field");
                sink.begin_structure();
                $({
                    let member = next();
                    structure!(@write $presence &self.$field, member, sink);
                })*
                sink.end_structure();
            }
        }
    };
    (@type optional $type:ty) => { Option<$type> };
    (@type required $type:ty) => { $type };
    (@read optional) => { $crate::shape::read_optional };
    (@read required) => { $crate::shape::read_required };
    (@write optional $value:expr, $member:ident, $sink:ident) => {
        if let Some(value) = $value {
            $sink.member($member);
            $crate::shape::Value::write(value, $sink);
        }
    };
    (@write required $value:expr, $member:ident, $sink:ident) => {
        $sink.member($member);
        $crate::shape::Value::write($value, $sink);
    };
}

/// Declares an enumeration of strings.
macro_rules! string_enum {
    ($name:ident { $($variant:ident $wire:literal,)* }) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "AWS documents its shapes")]
        pub enum $name {
            $($variant,)*
        }

        impl $name {
            /// Every value, in the model's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            const WIRE: &'static [&'static str] = &[$($wire,)*];

            /// AWS's word.
            pub const fn as_str(self) -> &'static str {
                Self::WIRE[self as usize]
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::shape::Value for $name {
            fn read(
                node: &$crate::node::Node<'_>,
                _: $crate::shape::Context,
            ) -> Result<Self, $crate::error::DecodeError> {
                $crate::shape::read_enum(node, Self::WIRE).map(|index| Self::ALL[index])
            }

            fn write(&self, sink: &mut dyn $crate::shape::Sink) {
                sink.string(self.as_str());
            }
        }
    };
}
