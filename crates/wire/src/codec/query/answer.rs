//! Answers, as a client reads them.

use std::borrow::Cow;

use roxmltree::{Document, Node as Element};

use crate::error::{DecodeError, Problem};
use crate::node::Node;
use crate::shape::{Context, Limits, Peer, Value};

/// Reads the answer to an operation.
///
/// # Errors
/// It is not XML, or not the wanted shape.
pub fn decode<T: Value>(body: &[u8], operation: &str) -> Result<T, DecodeError> {
    let malformed = |what: String| DecodeError::new(Problem::Malformed(what));
    let text = std::str::from_utf8(body).map_err(|error| malformed(error.to_string()))?;
    let document = Document::parse(text).map_err(|error| malformed(error.to_string()))?;
    let wanted = format!("{operation}Result");
    let mut found = document.root_element().children();
    let node = found
        .find(|element| element.tag_name().name() == wanted)
        .map_or_else(|| Node::Map(Vec::new()), tree);
    // An element without content is a structure without members.
    let node = if matches!(node, Node::Text(_)) { Node::Map(Vec::new()) } else { node };
    T::read(&node, Context { limits: &Limits::NONE, peer: Peer::Server })
}

/// Code and message of an error answer.
pub fn decode_error(body: &[u8]) -> Option<(String, String)> {
    let document = Document::parse(std::str::from_utf8(body).ok()?).ok()?;
    let text = |name: &str| {
        let mut all = document.descendants();
        all.find(|element| element.tag_name().name() == name)?.text().map(str::to_owned)
    };
    Some((text("Code")?, text("Message").unwrap_or_default()))
}

fn tree<'a>(element: Element<'a, '_>) -> Node<'a> {
    let children: Vec<Element<'a, '_>> = element.children().filter(Element::is_element).collect();
    let Some(first) = children.first() else {
        return Node::Text(Cow::Borrowed(element.text().unwrap_or_default()));
    };
    match first.tag_name().name() {
        "member" => Node::List(children.into_iter().map(tree).collect()),
        "entry" => Node::Map(children.into_iter().filter_map(entry).collect()),
        _ => {
            let member =
                |child: Element<'a, '_>| (Cow::Borrowed(child.tag_name().name()), tree(child));
            Node::Map(children.into_iter().map(member).collect())
        }
    }
}

fn entry<'a>(element: Element<'a, '_>) -> Option<(Cow<'a, str>, Node<'a>)> {
    let child = |name: &str| element.children().find(|child| child.tag_name().name() == name);
    let key = child("key")?.text().unwrap_or_default();
    Some((Cow::Borrowed(key), tree(child("value")?)))
}
