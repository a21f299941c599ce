//! CPU and memory as people write them: `256`, `.5 vCPU`, `512`, `1 GB`.

use longshore_wire::ServiceError;

use crate::ecs::client_error;

/// CPU units (1024 per vCPU) of a task-level `cpu`.
pub(crate) fn cpu_units(text: &str) -> Result<u32, ServiceError> {
    quantity(text, "vcpu", 1024.0).ok_or_else(|| {
        client_error(format!("Invalid 'cpu' setting for task: '{text}' is no number of CPU units."))
    })
}

/// MiB of a task-level `memory`.
pub(crate) fn memory_mib(text: &str) -> Result<u32, ServiceError> {
    quantity(text, "gb", 1024.0).filter(|&mib| mib >= 4).ok_or_else(|| {
        client_error(format!("Invalid 'memory' setting for task: '{text}' is no size in MiB."))
    })
}

fn quantity(text: &str, unit: &str, factor: f64) -> Option<u32> {
    let text = text.trim().to_ascii_lowercase();
    let value = match text.strip_suffix(unit) {
        Some(number) => number.trim().parse::<f64>().ok()? * factor,
        None => return text.parse::<u32>().ok(),
    };
    let fits = value.is_finite() && value >= 0.0 && value <= f64::from(u32::MAX);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    fits.then(|| value.round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_normalised() {
        for (text, expected) in [("256", 256), ("1 vCPU", 1024), (".25 vcpu", 256), ("2vCPU", 2048)]
        {
            assert_eq!(cpu_units(text).ok(), Some(expected), "{text}");
        }
        for (text, expected) in [("512", 512), ("1GB", 1024), ("0.5 GB", 512)] {
            assert_eq!(memory_mib(text).ok(), Some(expected), "{text}");
        }
        for text in ["", "x", "-1", "1 TB", "NaN gb", "1e99 GB", "1.5"] {
            assert!(cpu_units(text).is_err(), "{text}");
            assert!(memory_mib(text).is_err(), "{text}");
        }
    }
}
