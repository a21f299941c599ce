//! Texts with wildcards and variables, as they stand in resources and conditions.
//!
//! Patterns are bytes: what no UTF-8 text holds stands for a wildcard, so that a character from a
//! variable or from `${*}` can never become one. Matching is a loop: no recursion, and never more
//! steps than characters of the pattern times characters of the text.

use super::Context;

/// Any run of characters.
const MANY: u8 = 0xff;
/// Any run of characters without a colon.
const RUN: u8 = 0xfe;
/// Any one character.
const ONE: u8 = 0xfd;
/// Any one character but a colon.
const ONE_INSIDE: u8 = 0xfc;

/// What a text of a policy may hold, and what it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// The same text.
    Exact,
    /// The same text but for case; whoever asks folds what it asks about.
    Folded,
    /// With wildcards anywhere.
    Like,
    /// ARN of a resource: wildcards stay within their segment, except `*` at the end of one, which
    /// "can expand to match beyond the colon boundaries" (IAM JSON policy elements: Resource). The
    /// sixth segment, the resource itself, may hold colons.
    Resource,
    /// ARN in a condition: each of the six segments is checked separately.
    Arn,
}

/// What a text says of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    Yes,
    No,
    /// A variable of the pattern has no value in this request.
    Unresolved,
}

impl From<bool> for Match {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

/// The text has `${` without its end, or a variable within a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadVariable;

/// A pattern that may wait for variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Template {
    Fixed(Pattern),
    Open { pieces: Box<[Piece]>, style: Style },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(Box<[u8]>),
    Variable {
        /// Lower case.
        key: Box<str>,
        default: Option<Box<str>>,
    },
}

/// Whether `${…}` means something: since version 2012-10-17, and not everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variables {
    Substituted,
    Literal,
}

impl Template {
    pub(super) fn parse(
        text: &str,
        style: Style,
        variables: Variables,
    ) -> Result<Self, BadVariable> {
        let wild = !matches!(style, Style::Exact | Style::Folded);
        let (mut pieces, mut open, mut bytes, mut rest) = (Vec::new(), false, Vec::new(), text);
        while let Some(char) = rest.chars().next() {
            let inside = rest.strip_prefix("${").filter(|_| variables == Variables::Substituted);
            if let Some(inside) = inside {
                let (name, after) = inside.split_once('}').ok_or(BadVariable)?;
                rest = after;
                if matches!(name, "*" | "?" | "$") {
                    bytes.extend_from_slice(name.as_bytes());
                    continue;
                }
                open = true;
                pieces.push(Piece::Text(std::mem::take(&mut bytes).into()));
                pieces.push(variable(name)?);
                continue;
            }
            rest = rest.get(char.len_utf8()..).unwrap_or_default();
            match char {
                '*' if wild => bytes.push(MANY),
                '?' if wild => bytes.push(ONE),
                other => bytes.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !open {
            return Ok(Self::Fixed(Pattern::new(bytes, style)));
        }
        pieces.push(Piece::Text(bytes.into()));
        Ok(Self::Open { pieces: pieces.into(), style })
    }

    pub(super) fn matches(&self, text: &str, context: &Context) -> Match {
        match self {
            Self::Fixed(pattern) => pattern.matches(text).into(),
            Self::Open { .. } if self.unresolved(context).is_some() => Match::Unresolved,
            // Most that do not match differ at once, which needs no value of a variable.
            Self::Open { pieces, style } if differs(pieces, *style, text) => Match::No,
            Self::Open { pieces, style } => match expand(pieces, context) {
                Some(mut bytes) => {
                    let shape = compile(&mut bytes, *style);
                    fits(shape, &bytes, text).into()
                }
                None => Match::Unresolved,
            },
        }
    }

    /// How a document writes it, but for the case of what is compared without.
    pub(super) fn text(&self, style: Style) -> String {
        let pieces = match self {
            Self::Fixed(pattern) => return written(&pattern.bytes, style),
            Self::Open { pieces, .. } => pieces,
        };
        let piece = |piece: &Piece| match piece {
            Piece::Text(bytes) => written(bytes, style),
            Piece::Variable { key, default: None } => format!("${{{key}}}"),
            Piece::Variable { key, default: Some(text) } => format!("${{{key}, '{text}'}}"),
        };
        pieces.iter().map(piece).collect()
    }

    /// Keys, in lower case, whose values it needs.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        let pieces: &[Piece] = match self {
            Self::Fixed(_) => &[],
            Self::Open { pieces, .. } => pieces,
        };
        pieces.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Variable { key, .. } => Some(&**key),
        })
    }

    /// The first variable without a value.
    pub(super) fn unresolved(&self, context: &Context) -> Option<&str> {
        let Self::Open { pieces, .. } = self else { return None };
        pieces.iter().find_map(|piece| match piece {
            Piece::Variable { key, default: None } if context.only(key).is_none() => Some(&**key),
            _ => None,
        })
    }
}

fn written(bytes: &[u8], style: Style) -> String {
    let wild = !matches!(style, Style::Exact | Style::Folded);
    let mut out = Vec::with_capacity(bytes.len());
    for byte in bytes {
        match *byte {
            MANY | RUN => out.push(b'*'),
            ONE | ONE_INSIDE => out.push(b'?'),
            b'*' if wild => out.extend_from_slice(b"${*}"),
            b'?' if wild => out.extend_from_slice(b"${?}"),
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// `key` or `key, 'default'`.
fn variable(name: &str) -> Result<Piece, BadVariable> {
    let (key, default) = match name.split_once(',') {
        None => (name, None),
        Some((key, default)) => {
            let default = default.trim();
            let default = default.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
            (key, Some(default.ok_or(BadVariable)?.into()))
        }
    };
    let key = key.trim();
    if key.is_empty() || key.contains(['$', '{', '\'']) {
        return Err(BadVariable);
    }
    Ok(Piece::Variable { key: key.to_ascii_lowercase().into(), default })
}

/// Whether the text does not begin as the pattern does before its first wildcard or variable.
fn differs(pieces: &[Piece], style: Style, text: &str) -> bool {
    let Some(Piece::Text(first)) = pieces.first().filter(|_| style != Style::Folded) else {
        return false;
    };
    let literal = first.iter().position(|byte| *byte >= ONE_INSIDE).unwrap_or(first.len());
    !first.get(..literal).is_some_and(|start| text.as_bytes().starts_with(start))
}

/// Values go in as they are: what looks like a variable or a wildcard in them is neither.
fn expand(pieces: &[Piece], context: &Context) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(96);
    for piece in pieces {
        match piece {
            Piece::Text(text) => bytes.extend_from_slice(text),
            Piece::Variable { key, default } => {
                let value = context.only(key).or(default.as_deref())?;
                bytes.extend_from_slice(value.as_bytes());
            }
        }
    }
    Some(bytes)
}

/// An action as a policy has it: with wildcards anywhere, whatever its case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Action(pub(super) Box<str>);

impl Action {
    /// As [`greedy`], over an action in lower case.
    pub(super) fn matches(&self, asked: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), asked.as_bytes());
        let (mut at, mut from) = (0, 0);
        let mut last: Option<(usize, usize)> = None;
        while let Some(byte) = text.get(from) {
            match pattern.get(at) {
                Some(b'*') => {
                    last = Some((at + 1, from));
                    at += 1;
                }
                Some(own) if *own == b'?' || own.to_ascii_lowercase() == *byte => {
                    at += 1;
                    from += 1;
                }
                _ => {
                    let Some((behind, end)) = last else { return false };
                    last = Some((behind, end + 1));
                    (at, from) = (behind, end + 1);
                }
            }
        }
        pattern.get(at..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
    }
}

/// A text with wildcards, without variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    bytes: Box<[u8]>,
    shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Never,
    Exact,
    /// One [`MANY`], at the end.
    Prefix,
    /// No [`RUN`] behind a [`MANY`]: trying again from the last of them is enough.
    Greedy,
    Mixed,
}

impl Pattern {
    fn new(mut bytes: Vec<u8>, style: Style) -> Self {
        let shape = compile(&mut bytes, style);
        Self { bytes: bytes.into(), shape }
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        fits(self.shape, &self.bytes, text)
    }
}

/// Makes bytes ready to be matched.
fn compile(bytes: &mut Vec<u8>, style: Style) -> Shape {
    match style {
        Style::Exact | Style::Like => {}
        Style::Folded => {
            let text = String::from_utf8_lossy(bytes).to_lowercase();
            *bytes = text.into_bytes();
        }
        // A lone `*` is everything.
        Style::Resource | Style::Arn if **bytes == [MANY] => {}
        Style::Resource | Style::Arn => {
            // Any other pattern of fewer than six segments is no ARN.
            if stay_inside(bytes, style) < ARN_SEGMENTS && style == Style::Arn {
                return Shape::Never;
            }
        }
    }
    shape(bytes)
}

fn fits(shape: Shape, pattern: &[u8], text: &str) -> bool {
    let text = text.as_bytes();
    match shape {
        Shape::Never => false,
        Shape::Exact => pattern == text,
        Shape::Prefix => text.starts_with(&pattern[..pattern.len() - 1]),
        Shape::Greedy => greedy(pattern, text),
        Shape::Mixed => mixed(pattern, text),
    }
}

const ARN_SEGMENTS: usize = 6;

/// Confines wildcards of the first five segments; says how many segments there are.
fn stay_inside(bytes: &mut [u8], style: Style) -> usize {
    let mut segments = 1;
    for at in 0..bytes.len() {
        let ends = bytes.get(at + 1).is_none_or(|next| *next == b':');
        let crosses = style == Style::Resource && ends;
        let Some(byte) = bytes.get_mut(at) else { break };
        match *byte {
            b':' => segments += 1,
            MANY if segments < ARN_SEGMENTS && !crosses => *byte = RUN,
            ONE if segments < ARN_SEGMENTS => *byte = ONE_INSIDE,
            _ => {}
        }
    }
    segments
}

fn shape(bytes: &[u8]) -> Shape {
    let Some(first) = bytes.iter().position(|byte| *byte >= ONE_INSIDE) else {
        return Shape::Exact;
    };
    if first + 1 == bytes.len() && bytes[first] == MANY {
        return Shape::Prefix;
    }
    let many = bytes.iter().position(|byte| *byte == MANY);
    let run = bytes.iter().rposition(|byte| *byte == RUN);
    if many.zip(run).is_some_and(|(many, run)| many < run) { Shape::Mixed } else { Shape::Greedy }
}

/// Bytes of the character that starts with this one.
fn width(lead: u8) -> usize {
    match lead {
        0..=0x7f => 1,
        0x80..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
    }
}

/// On a mismatch the last run takes one character more. An earlier run need not: whatever it could
/// reach by being longer, the last one reaches too.
fn greedy(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    // Behind the last run, where in the text it ends, and whether it stops at a colon.
    let mut last: Option<(usize, usize, bool)> = None;
    while let Some(&byte) = text.get(from) {
        match pattern.get(at) {
            Some(&MANY) => last = Some((at + 1, from, false)),
            Some(&RUN) => last = Some((at + 1, from, true)),
            Some(&ONE) => from += width(byte),
            Some(&ONE_INSIDE) if byte != b':' => from += width(byte),
            Some(&same) if same == byte => from += 1,
            _ => {
                let Some((behind, end, inside)) = last else { return false };
                let Some(&next) = text.get(end).filter(|next| !(inside && **next == b':')) else {
                    return false;
                };
                let end = end + width(next);
                last = Some((behind, end, inside));
                (at, from) = (behind, end);
                continue;
            }
        }
        at += 1;
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|byte| matches!(*byte, MANY | RUN)))
}

/// All places of the pattern that the text so far can have reached, at once.
fn mixed(pattern: &[u8], text: &[u8]) -> bool {
    let tokens = characters(pattern);
    let mut here = vec![false; tokens.len() + 1];
    here[0] = true;
    skip_runs(&tokens, &mut here);
    for character in characters(text) {
        let mut next = vec![false; tokens.len() + 1];
        for (at, token) in tokens.iter().enumerate().filter(|(at, _)| here[*at]) {
            let colon = character == b":";
            match token {
                [MANY] => next[at] = true,
                [RUN] => next[at] |= !colon,
                [ONE] => next[at + 1] = true,
                [ONE_INSIDE] => next[at + 1] |= !colon,
                same => next[at + 1] |= *same == character,
            }
        }
        skip_runs(&tokens, &mut next);
        here = next;
    }
    here.last() == Some(&true)
}

/// A run may be empty.
fn skip_runs(tokens: &[&[u8]], here: &mut [bool]) {
    for (at, token) in tokens.iter().enumerate() {
        if here[at] && matches!(token, [MANY | RUN]) {
            here[at + 1] = true;
        }
    }
}

fn characters(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut found, mut rest) = (Vec::new(), bytes);
    while let Some(lead) = rest.first() {
        let width = if *lead >= ONE_INSIDE { 1 } else { width(*lead).min(rest.len()) };
        let (one, after) = rest.split_at(width);
        found.push(one);
        rest = after;
    }
    found
}
