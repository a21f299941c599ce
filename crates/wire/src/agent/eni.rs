//! Elastic network interfaces as the protocol describes them.

use serde::{Deserialize, Serialize};

use super::open::nullable;

/// A network interface of a task or of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ElasticNetworkInterface {
    /// ARN of the attachment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment_arn: Option<String>,
    /// Id of the interface.
    pub ec2_id: String,
    /// Name, when a task has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Position among the task's interfaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<i64>,
    /// MAC address that the agent waits for.
    pub mac_address: String,
    /// IPv4 addresses.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub ipv4_addresses: Vec<Ipv4Address>,
    /// IPv6 addresses.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub ipv6_addresses: Vec<Ipv6Address>,
    /// Gateway in CIDR form, e.g. `10.0.0.1/24`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_gateway_ipv4_address: Option<String>,
    /// Gateway of an IPv6-only subnet in CIDR form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_gateway_ipv6_address: Option<String>,
    /// Name servers.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub domain_name_servers: Vec<String>,
    /// Search list.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub domain_name: Vec<String>,
    /// Private DNS name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_dns_name: Option<String>,
    /// `default` or `vlan`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface_association_protocol: Option<String>,
    /// Where a branch interface hangs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface_vlan_properties: Option<VlanProperties>,
}

/// An IPv4 address of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ipv4Address {
    /// The address.
    pub private_address: String,
    /// Whether it is the primary one.
    pub primary: bool,
}

/// An IPv6 address of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ipv6Address {
    /// The address.
    pub address: String,
    /// Whether it is the primary one.
    pub primary: bool,
}

/// VLAN of a branch interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VlanProperties {
    /// VLAN id.
    pub vlan_id: String,
    /// MAC address of the trunk.
    pub trunk_interface_mac_address: String,
}
