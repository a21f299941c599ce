//! What happens to a request: the same for HTTP/1.1 and HTTP/2.

use std::net::SocketAddr;
use std::sync::Arc;

use longshore_domain::route::{Action, Facts, FixedResponse, Forward, Protocol, Stickiness};

use super::cookie;
use super::redirect::{self, Url};
use crate::clock;
use crate::group::Group;
use crate::oidc::{self, Identity, LogIn, Own, Verdict};
use crate::select;
use crate::table::Listening;
use crate::target::Target;

/// Asks all values of a header, in order, until one is accepted.
pub(crate) type EachHeader<'a> = &'a (dyn Fn(&str, &mut dyn FnMut(&str) -> bool) -> bool + Sync);

/// A request as decisions see it.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    /// Without the port.
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) client: SocketAddr,
    pub(crate) each_header: EachHeader<'a>,
}

/// An answer of the balancer itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `None` for ALB's page of the status.
    pub(crate) body: Option<(Option<String>, String)>,
    pub(crate) location: Option<String>,
    /// Values of `Set-Cookie`.
    pub(crate) cookies: Vec<String>,
}

impl Answer {
    /// ALB's own page.
    pub(crate) fn page(status: u16) -> Self {
        Self { status, body: None, location: None, cookies: Vec::new() }
    }
}

/// What happens to a request.
#[derive(Debug)]
pub(crate) enum Plan {
    Answer(Answer),
    /// The provider is asked first.
    LogIn(Box<LogIn>),
    Forward(Forwarding),
}

/// A request on its way to a group.
#[derive(Debug)]
pub(crate) struct Forwarding {
    pub(crate) group: Arc<Group>,
    /// `Set-Cookie` headers that keep the client with the group.
    pub(crate) cookies: Vec<String>,
    /// The target that it stays with.
    pub(crate) sticky: Option<Arc<Target>>,
    /// What the target is told of the client.
    pub(crate) identity: Identity,
}

/// Decides; gives the rule's priority too, 0 for the default one.
pub(crate) fn plan(listening: &Listening, asked: &Asked<'_>) -> (Plan, u32) {
    let some_header =
        |name: &str, test: &dyn Fn(&str) -> bool| (asked.each_header)(name, &mut |v| test(v));
    let facts = Facts {
        host: asked.host,
        path: asked.path,
        query: asked.query,
        method: asked.method,
        source: asked.client.ip(),
        some_header: &some_header,
    };
    match oidc::own(listening, asked) {
        None => {}
        Some(Own::Answer(answer)) => return (Plan::Answer(answer), 0),
        Some(Own::LogIn(log_in)) => return (Plan::LogIn(log_in), 0),
    }
    let Some(rule) = listening.rules.find(&facts) else {
        return (Plan::Answer(Answer::page(503)), 0);
    };
    let priority = rule.priority.unwrap_or(0);
    let mut identity = Identity::new();
    for action in &rule.actions {
        let plan = match action {
            Action::Forward(forward) => self::forward(listening, forward, asked, identity),
            Action::Redirect(redirect) => {
                let tls = listening.record.protocol == Protocol::Https;
                let from = Url {
                    protocol: if tls { "https" } else { "http" },
                    host: asked.host,
                    port: listening.record.port,
                    path: asked.path,
                    query: asked.query,
                };
                let location = Some(redirect::location(redirect, &from));
                let status = if redirect.permanent { 301 } else { 302 };
                Plan::Answer(Answer { location, ..Answer::page(status) })
            }
            Action::FixedResponse(fixed) => Plan::Answer(self::fixed(fixed)),
            Action::AuthenticateOidc(oidc) => match oidc::judge(listening, oidc, asked) {
                Verdict::Known(known) => {
                    identity = known;
                    continue;
                }
                Verdict::Nobody => continue,
                Verdict::Answer(answer) => Plan::Answer(answer),
            },
        };
        return (plan, priority);
    }
    (Plan::Answer(Answer::page(503)), priority)
}

fn fixed(fixed: &FixedResponse) -> Answer {
    let body = Some((fixed.content_type.clone(), fixed.body.clone()));
    Answer { body, ..Answer::page(fixed.status) }
}

/// The value of a cookie that the request brings.
pub(crate) fn cookie_of(asked: &Asked<'_>, name: &str) -> Option<String> {
    let mut found = None;
    (asked.each_header)("cookie", &mut |header| {
        found = cookie::value(header, name).map(str::to_owned);
        found.is_some()
    });
    found
}

fn forward(
    listening: &Listening,
    forward: &Forward,
    asked: &Asked<'_>,
    identity: Identity,
) -> Plan {
    let find = |arn: &str| listening.groups.get(arn).map(Arc::clone);
    let mut cookies = Vec::new();
    let group = match (forward.groups.as_slice(), forward.stickiness_s) {
        ([only], _) => find(&only.group),
        (many, stickiness) => {
            let weights = |at: usize| many[at].weight;
            let by_cookie = stickiness.and_then(|_| {
                let token = cookie_of(asked, cookie::GROUP)?;
                let groups = many.iter().filter(|one| one.weight > 0);
                groups.filter_map(|one| find(&one.group)).find(|group| group.token == token)
            });
            let chosen = by_cookie.or_else(|| {
                let at = select::weighted(many.len(), weights, clock::random())?;
                find(&many[at].group)
            });
            if let (Some(group), Some(duration)) = (&chosen, stickiness) {
                cookies.extend(cookie::set(cookie::GROUP, &group.token, duration, clock::now()));
            }
            chosen
        }
    };
    let Some(group) = group else { return Plan::Answer(Answer::page(503)) };
    let sticky = match &group.record.attributes.stickiness {
        Some(Stickiness::LbCookie(_)) => {
            cookie_of(asked, cookie::TARGET).and_then(|token| group.by_token(&token))
        }
        Some(Stickiness::AppCookie { name, .. }) => cookie_of(asked, name)
            .and_then(|_| cookie_of(asked, cookie::APPLICATION))
            .and_then(|token| group.by_token(&token)),
        Some(Stickiness::SourceIp) => group.by_client(asked.client.ip(), 0),
        None => None,
    };
    Plan::Forward(Forwarding { group, cookies, sticky, identity })
}

/// The `Set-Cookie` headers that keep a client with a target; `sets` says whether the target's
/// answer sets a cookie.
pub(crate) fn target_cookies(
    group: &Group,
    target: &Target,
    sets: impl Fn(&str) -> bool,
) -> Option<[String; 2]> {
    let set = |name, duration| Some(cookie::set(name, &target.token, duration, clock::now()));
    match group.record.attributes.stickiness.as_ref()? {
        Stickiness::LbCookie(duration) => set(cookie::TARGET, *duration),
        Stickiness::AppCookie { name, duration_s } if sets(name) => {
            set(cookie::APPLICATION, *duration_s)
        }
        Stickiness::AppCookie { .. } | Stickiness::SourceIp => None,
    }
}

/// ALB's page and reason of a status.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        503 => "Service Temporarily Unavailable",
        504 => "Gateway Time-out",
        408 => "Request Time-out",
        _ => http::StatusCode::from_u16(status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or("Error"),
    }
}

/// The body of ALB's page.
pub(crate) fn page(status: u16) -> String {
    let title = format!("{status} {}", reason(status));
    format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    )
}
