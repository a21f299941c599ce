//! Rows of Certificate Manager.

use longshore_domain::ids::CertificateArn;
use longshore_wire::acm::Tag;

use super::asking::is_plain;
use super::{Asking, Entry, access};
use crate::acm::by_arn;

/// All rows of Certificate Manager.
pub(super) fn entries() -> impl Iterator<Item = &'static Entry> {
    ENTRIES.iter().copied()
}

access! { "acm", acm {
    RequestCertificate Write [] ["acm:CertificateAuthority" "acm:CertificateTransparencyLogging" "acm:DomainNames" "acm:Export" "acm:KeyAlgorithm" "acm:ValidationMethod" "aws:RequestTag/${TagKey}" "aws:TagKeys"] ["acm:AddTagsToCertificate"] =
        |input, asking| {
            asking.request_tags(pairs(input.tags.as_ref()));
            asking.key("acm:DomainNames", &input.domain_name);
            for name in input.subject_alternative_names.iter().flatten() {
                asking.key("acm:DomainNames", name);
            }
            asking.key_of("acm:ValidationMethod", input.validation_method);
            asking.key_of("acm:KeyAlgorithm", input.key_algorithm);
            asking.key_of("acm:CertificateAuthority", input.certificate_authority_arn.as_ref());
            let options = input.options.as_ref();
            let logging = options.and_then(|o| o.certificate_transparency_logging_preference);
            asking.key_of("acm:CertificateTransparencyLogging", logging);
            asking.key_of("acm:Export", options.and_then(|options| options.export));
            asking.ask_anything();
            tags_on_create(asking, input.tags.as_ref());
        };
    ImportCertificate Write ["certificate"] ["aws:RequestTag/${TagKey}" "aws:ResourceTag/${TagKey}" "aws:TagKeys"] ["acm:AddTagsToCertificate"] =
        |input, asking| {
            asking.request_tags(pairs(input.tags.as_ref()));
            match input.certificate_arn.as_deref() {
                Some(arn) => asking.ask_certificate(arn),
                None => asking.ask(would_be(asking)),
            }
            tags_on_create(asking, input.tags.as_ref());
        };
    DescribeCertificate Read ["certificate"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_certificate(&input.certificate_arn);
    GetCertificate Read ["certificate"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_certificate(&input.certificate_arn);
    DeleteCertificate Write ["certificate"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_certificate(&input.certificate_arn);
    ListCertificates List [] [] [] = |_, asking| asking.ask_anything();
    GetAccountConfiguration Read [] [] [] = |_, asking| asking.ask_anything();
    ListTagsForCertificate Read ["certificate"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_certificate(&input.certificate_arn);
    AddTagsToCertificate Tagging ["certificate"] ["aws:RequestTag/${TagKey}" "aws:ResourceTag/${TagKey}" "aws:TagKeys"] [] =
        |input, asking| {
            asking.request_tags(pairs(Some(&input.tags)));
            asking.ask_certificate(&input.certificate_arn);
        };
    RemoveTagsFromCertificate Tagging ["certificate"] ["aws:RequestTag/${TagKey}" "aws:ResourceTag/${TagKey}" "aws:TagKeys"] [] =
        |input, asking| {
            asking.request_tags(pairs(Some(&input.tags)));
            asking.ask_certificate(&input.certificate_arn);
        };
    // The newer names of the three; the reference does not list them.
    ListTagsForResource Read ["certificate"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_certificate(&input.resource_arn);
    TagResource Tagging ["certificate"] ["aws:RequestTag/${TagKey}" "aws:ResourceTag/${TagKey}" "aws:TagKeys"] [] =
        |input, asking| {
            asking.request_tags(pairs(Some(&input.tags)));
            asking.ask_certificate(&input.resource_arn);
        };
    UntagResource Tagging ["certificate"] ["aws:ResourceTag/${TagKey}" "aws:TagKeys"] [] =
        |input, asking| {
            asking.tag_keys(input.tag_keys.iter().map(String::as_str));
            asking.ask_certificate(&input.resource_arn);
        };
} }

impl Asking<'_> {
    fn ask_certificate(&mut self, text: &str) {
        match text.parse::<CertificateArn>() {
            Ok(arn) if is_plain(text) => {
                let tags = by_arn(self.view, text).map(|row| &row.tags);
                self.ask_tagged(arn.to_string(), tags);
            }
            _ => self.ask_anything(),
        }
    }
}

/// A certificate that has no id yet.
fn would_be(asking: &Asking<'_>) -> String {
    format!("arn:aws:acm:{}:{}:certificate/*", asking.scope.region, asking.scope.account)
}

fn tags_on_create(asking: &mut Asking<'_>, tags: Option<&Vec<Tag>>) {
    if tags.is_some_and(|tags| !tags.is_empty()) {
        let certificate = would_be(asking);
        asking.ask_also("acm:AddTagsToCertificate", certificate);
    }
}

fn pairs(tags: Option<&Vec<Tag>>) -> impl Iterator<Item = (&str, &str)> {
    tags.into_iter()
        .flatten()
        .map(|tag| (tag.key.as_str(), tag.value.as_deref().unwrap_or_default()))
}
