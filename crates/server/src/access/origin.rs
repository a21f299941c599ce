//! Where a request comes from, and the condition keys that every request has.

use std::net::IpAddr;

use longshore_auth::{Context, Principal, PrincipalKind};
use longshore_domain::ids::Region;
use longshore_domain::time::Timestamp;

/// Where a request comes from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    /// The other end of the connection.
    pub(crate) address: Option<IpAddr>,
    /// Whether the connection is encrypted.
    pub(crate) secure: bool,
    /// What it says that it is.
    pub(crate) user_agent: Option<String>,
}

impl Origin {
    /// The keys of a request by `principal`, as far as `keys` takes them.
    pub(crate) fn keys(
        &self,
        keys: Context,
        principal: &Principal,
        region: &Region,
        now: Timestamp,
    ) -> Context {
        let mut keys = self.of_request(keys, region, now);
        of_principal(principal, &mut keys);
        keys
    }

    /// The keys of a request by whomever, as far as `keys` takes them.
    pub(crate) fn of_request(&self, mut keys: Context, region: &Region, now: Timestamp) -> Context {
        if let Some(address) = self.address.filter(|_| keys.wants("aws:SourceIp")) {
            // An address of version 4 that came over version 6 is the same address.
            keys.add("aws:SourceIp", address.to_canonical().to_string());
        }
        keys.add("aws:SecureTransport", if self.secure { "true" } else { "false" });
        keys.add("aws:ViaAWSService", "false");
        if let Some(agent) = &self.user_agent {
            keys.add("aws:UserAgent", agent.as_str());
        }
        let seconds = now.as_millis().div_euclid(1000);
        if keys.wants("aws:EpochTime") {
            keys.add("aws:EpochTime", seconds.to_string());
        }
        if keys.wants("aws:CurrentTime")
            && let Ok(time) = jiff::Timestamp::from_second(seconds)
        {
            keys.add("aws:CurrentTime", time.to_string());
        }
        keys.add("aws:RequestedRegion", region.as_str());
        keys
    }
}

/// Sort and ARN are for rows of the table too: what a user may do to itself differs.
fn of_principal(principal: &Principal, keys: &mut Context) {
    let account = principal.account.as_str();
    keys.add("aws:PrincipalAccount", account);
    let kind = match &principal.kind {
        PrincipalKind::Root => {
            keys.keep("aws:PrincipalArn", principal.arn.as_str());
            "Account"
        }
        PrincipalKind::User { name } => {
            keys.keep("aws:PrincipalArn", principal.arn.as_str());
            keys.add("aws:username", name.rsplit('/').next().unwrap_or_default());
            "User"
        }
        PrincipalKind::AssumedRole { role, .. } => {
            // Of a session it is the ARN of its role.
            let arn = principal.session.as_ref().and_then(|session| session.role_arn.clone());
            let arn = arn.unwrap_or_else(|| format!("arn:aws:iam::{account}:role/{role}"));
            keys.keep("aws:PrincipalArn", arn);
            "AssumedRole"
        }
    };
    keys.keep("aws:PrincipalType", kind);
    if !principal.unique_id.is_empty() {
        keys.add("aws:userid", principal.unique_id.as_str());
    }
    for (key, value) in &principal.tags {
        keys.add(&format!("aws:PrincipalTag/{key}"), value.as_str());
    }
    let Some(session) = &principal.session else { return };
    if let Ok(issued) = jiff::Timestamp::from_second(session.issued_at_s) {
        keys.add("aws:TokenIssueTime", issued.to_string());
    }
    if let Some(identity) = &session.source_identity {
        keys.add("aws:SourceIdentity", identity.as_str());
    }
}
