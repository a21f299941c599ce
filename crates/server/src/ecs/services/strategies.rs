//! Deployment strategies that shift traffic.

use longshore_domain::limits;
use longshore_domain::record::{SchedulingStrategy, Share, ShiftStrategy, Shifting};
use longshore_wire::ServiceError;
use longshore_wire::ecs::DeploymentConfiguration;
use longshore_wire::ecs::enums::DeploymentStrategy;

use crate::ecs::invalid_parameter;
use crate::ecs::services::settings::unsupported;

/// Bounds and default of `stepPercent`, in tenths of a percent.
const STEP: (u32, u32, u32) = (30, 1000, 100);
/// The same of `canaryPercent`.
const CANARY: (u32, u32, u32) = (1, 1000, 50);
/// Minutes between steps, and of the canary, unless given.
const BAKE_MIN: (u32, u32) = (6, 10);

/// The strategy: what is given, else what was `before`; none for rolling deployments.
///
/// # Errors
/// `InvalidParameterException` for what no strategy has.
pub(super) fn read(
    given: Option<&DeploymentConfiguration>,
    before: Option<Shifting>,
    scheduling: SchedulingStrategy,
) -> Result<Option<Shifting>, ServiceError> {
    let Some(given) = given else { return Ok(before) };
    let known = before.map(|before| match before.strategy {
        ShiftStrategy::BlueGreen => DeploymentStrategy::BlueGreen,
        ShiftStrategy::Linear { .. } => DeploymentStrategy::Linear,
        ShiftStrategy::Canary { .. } => DeploymentStrategy::Canary,
    });
    let wanted = given.strategy.or(known).unwrap_or(DeploymentStrategy::Rolling);
    let bake_min =
        given.bake_time_in_minutes.map(|n| minutes(n, "bakeTimeInMinutes")).transpose()?;
    check_members(given, wanted)?;
    if wanted == DeploymentStrategy::Rolling {
        // AWS bakes a rolling deployment only for its alarms.
        return match bake_min {
            None | Some(0) => Ok(None),
            Some(_) => Err(unsupported("A bake time of rolling deployments (bakeTimeInMinutes)")),
        };
    }
    if scheduling == SchedulingStrategy::Daemon {
        return Err(invalid_parameter(format!(
            "The daemon scheduling strategy does not support the {wanted} deployment strategy."
        )));
    }
    let bake_min = bake_min.or(before.map(|before| before.bake_min));
    let bake_min = match (bake_min, wanted) {
        (Some(minutes), _) => minutes,
        (None, DeploymentStrategy::BlueGreen) => {
            return Err(invalid_parameter(
                "bakeTimeInMinutes is required when using the BLUE_GREEN deployment strategy",
            ));
        }
        (None, _) => 0,
    };
    let old = before.map(|before| before.strategy);
    let strategy = match wanted {
        DeploymentStrategy::Linear => linear(given, old)?,
        DeploymentStrategy::Canary => canary(given, old)?,
        DeploymentStrategy::BlueGreen | DeploymentStrategy::Rolling => ShiftStrategy::BlueGreen,
    };
    Ok(Some(Shifting { strategy, bake_min }))
}

fn check_members(
    given: &DeploymentConfiguration,
    wanted: DeploymentStrategy,
) -> Result<(), ServiceError> {
    let members = [
        (given.linear_configuration.is_some(), "linearConfiguration", DeploymentStrategy::Linear),
        (given.canary_configuration.is_some(), "canaryConfiguration", DeploymentStrategy::Canary),
    ];
    for (is_given, name, of) in members {
        if is_given && of != wanted {
            return Err(invalid_parameter(format!(
                "{name} is only valid when the deployment strategy is {of}"
            )));
        }
    }
    Ok(())
}

fn linear(
    given: &DeploymentConfiguration,
    old: Option<ShiftStrategy>,
) -> Result<ShiftStrategy, ServiceError> {
    let known = match old {
        Some(ShiftStrategy::Linear { step, bake_min }) => Some((step, bake_min)),
        _ => None,
    };
    let given = given.linear_configuration.as_ref();
    let step = given.and_then(|given| given.step_percent);
    let bake = given.and_then(|given| given.step_bake_time_in_minutes);
    let (step, bake_min) =
        pair((step, "stepPercent", STEP), (bake, "stepBakeTimeInMinutes", BAKE_MIN.0), known)?;
    Ok(ShiftStrategy::Linear { step, bake_min })
}

fn canary(
    given: &DeploymentConfiguration,
    old: Option<ShiftStrategy>,
) -> Result<ShiftStrategy, ServiceError> {
    let known = match old {
        Some(ShiftStrategy::Canary { first, bake_min }) => Some((first, bake_min)),
        _ => None,
    };
    let given = given.canary_configuration.as_ref();
    let first = given.and_then(|given| given.canary_percent);
    let bake = given.and_then(|given| given.canary_bake_time_in_minutes);
    let (first, bake_min) = pair(
        (first, "canaryPercent", CANARY),
        (bake, "canaryBakeTimeInMinutes", BAKE_MIN.1),
        known,
    )?;
    Ok(ShiftStrategy::Canary { first, bake_min })
}

/// A share and minutes: as given, else as `known`, else the default.
fn pair(
    (percent, name, bounds): (Option<f64>, &str, (u32, u32, u32)),
    (bake, bake_name, bake_default): (Option<i32>, &str, u32),
    known: Option<(Share, u32)>,
) -> Result<(Share, u32), ServiceError> {
    let share = match percent {
        Some(percent) => share(percent, name, bounds)?,
        None => known.map(|known| known.0).or(Share::from_tenths(bounds.2)).unwrap_or_default(),
    };
    let bake = match bake {
        Some(bake) => minutes(bake, bake_name)?,
        None => known.map_or(bake_default, |known| known.1),
    };
    Ok((share, bake))
}

fn share(
    percent: f64,
    name: &str,
    (least, most, _): (u32, u32, u32),
) -> Result<Share, ServiceError> {
    let tenths = percent * 10.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what is no tenth within the bounds is refused"
    )]
    let rounded = tenths.round().clamp(0.0, 10_000.0) as u32;
    let exact = (tenths - f64::from(rounded)).abs() < 1e-6 && (least..=most).contains(&rounded);
    Share::from_tenths(rounded).filter(|_| exact).ok_or_else(|| {
        let shown = |tenths: u32| format!("{}.{}", tenths / 10, tenths % 10);
        invalid_parameter(format!(
            "{name} must be a multiple of 0.1 from {} to {}",
            shown(least),
            shown(most)
        ))
    })
}

fn minutes(given: i32, name: &str) -> Result<u32, ServiceError> {
    u32::try_from(given).ok().filter(|minutes| *minutes <= limits::BAKE_TIME_MIN).ok_or_else(|| {
        invalid_parameter(format!("{name} must be between 0 and {} minutes", limits::BAKE_TIME_MIN))
    })
}
