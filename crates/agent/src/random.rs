//! Randomness: ids that cannot be guessed, and jitter.

use std::time::Duration;

/// 128 random bits.
pub(crate) fn bits() -> u128 {
    #[cfg(feature = "simulation")]
    if let Some(bits) = crate::simulation::bits() {
        return bits;
    }
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    u128::from_le_bytes(bytes)
}

/// A random UUID (version 4) as text.
pub(crate) fn uuid() -> String {
    let bits = (bits() & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// A duration between zero and `most`.
pub(crate) fn up_to(most: Duration) -> Duration {
    let share = u32::try_from(bits() & 0xffff).unwrap_or(0);
    most.saturating_mul(share) / 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_its_version_and_variant() {
        let uuid = uuid();
        assert_eq!(uuid.len(), 36);
        assert_eq!(&uuid[14..15], "4");
        assert!(matches!(&uuid[19..20], "8" | "9" | "a" | "b"), "{uuid}");
        assert!(up_to(Duration::from_secs(5)) <= Duration::from_secs(5));
    }
}
