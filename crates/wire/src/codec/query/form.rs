//! Requests: a form becomes a tree.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::error::{DecodeError, Problem};
use crate::node::Node;
use crate::shape::{Context, Limits, Peer, Value};

/// Most parameters of a request; AWS's largest lists have some hundred elements of a few members.
const PARAMETERS: usize = 10_000;
/// Deepest name; no model goes half as deep.
const DEPTH: usize = 24;

/// A request: an action and its parameters.
#[derive(Debug)]
pub struct Form<'a> {
    parameters: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
}

/// What has the same beginning of its name.
enum Tree<'a> {
    Leaf(&'a str),
    Branch(BTreeMap<&'a str, Tree<'a>>),
}

impl<'a> Form<'a> {
    /// Reads a body or a query string.
    ///
    /// # Errors
    /// It is not UTF-8, has too many parameters, or one twice.
    pub fn parse(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut parameters = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(body) {
            if name.contains('\u{fffd}') || value.contains('\u{fffd}') {
                return Err(malformed("the request is not UTF-8"));
            }
            if parameters.len() == PARAMETERS {
                return Err(malformed("the request has too many parameters"));
            }
            if let Some(_twice) = parameters.insert(name.clone(), value) {
                return Err(malformed(&format!("the parameter {name} is given twice")));
            }
        }
        Ok(Self { parameters })
    }

    /// The operation.
    pub fn action(&self) -> Option<&str> {
        self.parameters.get("Action").map(|action| &**action)
    }

    /// The version of the API that the client speaks.
    pub fn version(&self) -> Option<&str> {
        self.parameters.get("Version").map(|version| &**version)
    }

    /// All parameters, by name.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parameters.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Reads the parameters as a shape.
    ///
    /// # Errors
    /// They are not of that shape.
    pub fn read<T: Value>(&self) -> Result<T, DecodeError> {
        let mut root = BTreeMap::new();
        for (name, value) in &self.parameters {
            let path: Vec<&str> = name.split('.').collect();
            if path.len() > DEPTH {
                return Err(malformed(&format!("the parameter {name} is nested too deep")));
            }
            if !insert(&mut root, &path, value) {
                return Err(malformed(&format!("the parameter {name} is given in two ways")));
            }
        }
        let node = Tree::Branch(root).node();
        T::read(&node, Context { limits: &Limits::NONE, peer: Peer::Client })
    }
}

/// Puts a value under its name; whether it has room there.
fn insert<'a>(branch: &mut BTreeMap<&'a str, Tree<'a>>, path: &[&'a str], value: &'a str) -> bool {
    match path {
        [] => false,
        [name] => branch.insert(name, Tree::Leaf(value)).is_none(),
        [name, rest @ ..] => {
            let below = branch.entry(name).or_insert_with(|| Tree::Branch(BTreeMap::new()));
            match below {
                Tree::Branch(below) => insert(below, rest, value),
                Tree::Leaf(_) => false,
            }
        }
    }
}

impl<'a> Tree<'a> {
    fn node(self) -> Node<'a> {
        match self {
            Self::Leaf(text) => Node::Text(Cow::Borrowed(text)),
            Self::Branch(mut members) => {
                if members.len() == 1
                    && let Some(Self::Branch(elements)) = members.remove("member")
                {
                    return list(elements);
                }
                if members.len() == 1
                    && let Some(Self::Branch(entries)) = members.remove("entry")
                {
                    return map(entries);
                }
                let members = members.into_iter();
                Node::Map(members.map(|(name, tree)| (name.into(), tree.node())).collect())
            }
        }
    }
}

/// The elements in the order of their numbers, which need not follow each other.
fn list<'a>(elements: BTreeMap<&'a str, Tree<'a>>) -> Node<'a> {
    let mut numbered: Vec<(u32, Tree<'a>)> = elements
        .into_iter()
        .map(|(number, tree)| (number.parse().unwrap_or(u32::MAX), tree))
        .collect();
    numbered.sort_by_key(|(number, _)| *number);
    Node::List(numbered.into_iter().map(|(_, tree)| tree.node()).collect())
}

fn map<'a>(entries: BTreeMap<&'a str, Tree<'a>>) -> Node<'a> {
    let mut members = Vec::new();
    for entry in entries.into_values() {
        let Tree::Branch(mut entry) = entry else { continue };
        if let (Some(Tree::Leaf(key)), Some(value)) = (entry.remove("key"), entry.remove("value")) {
            members.push((key.into(), value.node()));
        }
    }
    Node::Map(members)
}

fn malformed(what: &str) -> DecodeError {
    DecodeError::new(Problem::Malformed(what.to_owned()))
}
