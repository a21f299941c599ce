//! `docs/permissions.md`: the table, for people.

use std::fmt::Write as _;

use super::{Entry, acm, ecs, elbv2, iam, operator, sts};

const HEAD: &str = "# Permissions\n\n\
    What every operation is called in policies: its actions, the types of the resources that they are \
    about, and the condition keys that requests have. Generated from the table that authorizes \
    (`server/src/access`); a test compares it.\n\n\
    An operation takes its action on every resource that its request names. Where no type of resource \
    stands, policies name `*`. *Also* stands for what it takes beyond that: `iam:PassRole` for each \
    role that is handed on (`iam:PassedToService` is `ecs-tasks.amazonaws.com`, for the role of a service \
    `ecs.amazonaws.com`, for that of a join token `ec2.amazonaws.com`), and the tagging action where something is created with tags \
    (`ecs:CreateAction`, `elasticloadbalancing:CreateAction`).\n\n\
    Every request has these keys, where they apply: `aws:CurrentTime`, `aws:EpochTime`, \
    `aws:PrincipalAccount`, `aws:PrincipalArn`, `aws:PrincipalTag/${TagKey}`, `aws:PrincipalType`, \
    `aws:RequestedRegion`, `aws:SecureTransport`, `aws:SourceIp`, `aws:TokenIssueTime`, \
    `aws:UserAgent`, `aws:userid`, `aws:username`, `aws:ViaAWSService` (always `false`). \
    `aws:MultiFactorAuthPresent` is never there. Wherever `aws:ResourceTag/${TagKey}` stands, ECS and \
    Elastic Load Balancing have `ecs:ResourceTag/${TagKey}` and \
    `elasticloadbalancing:ResourceTag/${TagKey}` of the same value.\n";

/// The document.
pub fn document() -> String {
    let mut text = String::from(HEAD);
    let mut section = |title: &str, entries: Vec<&Entry>| {
        let _ = writeln!(text, "\n## {title}\n");
        text.push_str(
            "| Action | Level | Resource types | Condition keys | Also |\n|---|---|---|---|---|\n",
        );
        let mut entries = entries;
        entries.sort_by_key(|entry| entry.action);
        for Entry { action, level, resources, keys, also } in entries {
            let (resources, keys, also) = (listed(resources), listed(keys), listed(also));
            let level = level.as_str();
            // Writing to a string does not fail.
            let _ = writeln!(text, "| `{action}` | {level} | {resources} | {keys} | {also} |");
        }
    };
    let sessions = operator::SESSIONS.iter().copied();
    section("Amazon ECS", ecs::entries().chain(sessions).collect());
    section("Elastic Load Balancing", elbv2::entries().collect());
    section("AWS Certificate Manager", acm::entries().collect());
    section("AWS Identity and Access Management", iam::entries().collect());
    section("AWS Security Token Service", sts::entries().collect());
    let own = operator::ENDPOINTS.iter().map(|endpoint| &endpoint.entry);
    section("Longshore", own.chain([&operator::OWN_ALL]).collect());
    text
}

fn listed(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(" ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// `UPDATE_DOCS=1 cargo test -p longshore-server permissions` writes the file.
    #[test]
    fn the_permissions_are_those_of_the_table() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/permissions.md");
        let document = super::document();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &document).expect("docs/permissions.md can be written");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == document,
            "docs/permissions.md is stale: UPDATE_DOCS=1 cargo test -p longshore-server permissions"
        );
    }
}
