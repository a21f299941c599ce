//! What of the Elastic Load Balancing API is built.

use longshore_wire::elbv2::OperationName;

use crate::ecs::coverage::Coverage;

const TRUST_STORES: &str = "trust stores for mutual TLS";
const CAPACITY: &str = "capacity reservations";

/// How far `operation` is built. A new operation in the model does not compile until it is here.
pub(crate) const fn of(operation: OperationName) -> Coverage {
    use Coverage::{Built, Missing, Partial};
    use OperationName as O;
    match operation {
        O::CreateLoadBalancer => Partial(
            "application and network; each gets an address of its own, which is its DNSName; subnets and \
             security groups are kept and change nothing",
        ),
        O::SetSubnets | O::SetSecurityGroups => Partial("kept; they change nothing"),
        O::CreateListener | O::ModifyListener => Partial("no mutual authentication, no QUIC"),
        O::CreateRule | O::ModifyRule => {
            Partial("no transforms, no actions authenticate-cognito and jwt-validation")
        }
        O::CreateTargetGroup => Partial("types instance and ip"),
        O::DescribeSSLPolicies => Partial("policies from TLS 1.2 on"),
        O::DescribeListenerAttributes | O::ModifyListenerAttributes => {
            Partial("names of headers about certificates of clients are kept, and have no effect")
        }
        O::SetIpAddressType => Partial("ipv4; there is no IPv6"),
        O::AddListenerCertificates
        | O::RemoveListenerCertificates
        | O::DescribeListenerCertificates
        | O::DeleteLoadBalancer
        | O::DescribeLoadBalancers
        | O::DescribeLoadBalancerAttributes
        | O::ModifyLoadBalancerAttributes
        | O::DescribeListeners
        | O::DeleteListener
        | O::DescribeRules
        | O::DeleteRule
        | O::SetRulePriorities
        | O::DescribeTargetGroups
        | O::ModifyTargetGroup
        | O::DeleteTargetGroup
        | O::DescribeTargetGroupAttributes
        | O::ModifyTargetGroupAttributes
        | O::RegisterTargets
        | O::DeregisterTargets
        | O::DescribeTargetHealth
        | O::AddTags
        | O::RemoveTags
        | O::DescribeTags
        | O::DescribeAccountLimits => Built,
        O::ModifyIpPools => Missing("address pools of IPAM"),
        O::DescribeCapacityReservation | O::ModifyCapacityReservation => Missing(CAPACITY),
        O::AddTrustStoreRevocations
        | O::CreateTrustStore
        | O::DeleteSharedTrustStoreAssociation
        | O::DeleteTrustStore
        | O::DescribeTrustStoreAssociations
        | O::DescribeTrustStoreRevocations
        | O::DescribeTrustStores
        | O::GetResourcePolicy
        | O::GetTrustStoreCaCertificatesBundle
        | O::GetTrustStoreRevocationContent
        | O::ModifyTrustStore
        | O::RemoveTrustStoreRevocations => Missing(TRUST_STORES),
    }
}

/// The message of an operation that is not built.
pub(super) fn refusal(operation: OperationName) -> String {
    let name = operation.info().name;
    let what = match of(operation) {
        Coverage::Missing(what) => what,
        Coverage::Built | Coverage::Partial(_) => name,
    };
    format!("{name} is not available in this version of Longshore: {what} are not built yet.")
}
