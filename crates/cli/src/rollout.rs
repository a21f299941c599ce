//! Following deployments to their ends: events as they come, a bar per service, and when one
//! fails, what its tasks say of it.
//!
//! Judged is the service deployment that was begun here ([`verdict`]), not what happens to run.

mod ended;
mod verdict;

use std::collections::BTreeSet;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use longshore_agent::api::Api;
use longshore_wire::ecs::enums::DesiredStatus;
use longshore_wire::ecs::{
    DescribeServiceDeploymentsRequest, ListServiceDeploymentsRequest, Service, ServiceDeployment,
    Task, op,
};
use tokio::time::Instant;

use crate::client::failed;
use crate::failure::Failure;
use crate::{output, progress};
use verdict::Verdict;

/// How often the services are looked at.
const POLL: Duration = Duration::from_millis(250);
/// How long a deployment may be nowhere to be found before it is given up.
const FOUND: Duration = Duration::from_secs(10);

/// A deployment that has begun.
#[derive(Clone, Debug)]
pub(crate) struct Rollout {
    /// The service.
    pub(crate) service: String,
    /// The deployment: `ecs-svc/NUMBER`.
    pub(crate) deployment: String,
}

/// How to follow deployments.
pub(crate) struct Follow<'a> {
    /// The API.
    pub(crate) client: &'a Api,
    /// Cluster of the services.
    pub(crate) cluster: &'a str,
    /// How long, for all of them together.
    pub(crate) timeout: Duration,
    /// Docker's socket, where logs may be.
    pub(crate) docker_socket: &'a str,
}

/// One deployment on its way.
struct Followed {
    rollout: Rollout,
    /// ARN of its service deployment, once it is known.
    arn: Option<String>,
    bar: ProgressBar,
    /// Ids of events that were told.
    told: BTreeSet<String>,
    /// Where it was when that was said last.
    said: String,
    /// How it ended.
    ended: Option<Result<(), String>>,
}

impl Follow<'_> {
    /// Waits until every deployment has ended, and gives the running tasks of the services.
    ///
    /// # Errors
    /// When any deployment does not end in success, or in time.
    pub(crate) async fn until_steady(&self, rollouts: Vec<Rollout>) -> Result<Vec<Task>, Failure> {
        let begun = Instant::now();
        let bars = MultiProgress::new();
        let mut followed: Vec<Followed> =
            rollouts.into_iter().map(|rollout| Followed::new(rollout, &bars)).collect();
        let outcome = loop {
            let late = begun.elapsed() >= self.timeout;
            if let Err(error) = self.look(&bars, &mut followed, begun).await {
                break Err(error);
            }
            if late || followed.iter().all(|one| one.ended.is_some()) {
                break Ok(());
            }
            tokio::time::sleep(POLL).await;
        };
        for one in &followed {
            one.bar.finish_and_clear();
        }
        outcome?;
        self.conclude(&followed).await
    }

    async fn look(
        &self,
        bars: &MultiProgress,
        followed: &mut [Followed],
        begun: Instant,
    ) -> Result<(), Failure> {
        for one in followed.iter_mut().filter(|one| one.ended.is_none()) {
            // The deployment first: once it is over, all of its events are there.
            let deployment = self.deployment(one).await?;
            let found = progress::find(self.client, self.cluster, &one.rollout.service).await?;
            let Some(service) = found else {
                one.ended = Some(Err("the service is gone".to_owned()));
                continue;
            };
            one.tell(&service, bars);
            if deployment.is_none() && begun.elapsed() >= FOUND {
                one.ended = Some(Err("its service deployment is not known".to_owned()));
                continue;
            }
            match verdict::verdict(&service, deployment.as_ref()) {
                Verdict::UnderWay(waits) => one.show(&service, &waits, bars),
                Verdict::Done => {
                    one.show(&service, "done", bars);
                    one.ended = Some(Ok(()));
                }
                Verdict::Failed(why) => {
                    one.show(&service, "failed", bars);
                    one.ended = Some(Err(why));
                }
            }
        }
        Ok(())
    }

    /// The service deployment that is followed.
    async fn deployment(&self, one: &mut Followed) -> Result<Option<ServiceDeployment>, Failure> {
        if one.arn.is_none() {
            one.arn = self.find(&one.rollout).await?;
        }
        let Some(arn) = one.arn.clone() else { return Ok(None) };
        let request = DescribeServiceDeploymentsRequest { service_deployment_arns: vec![arn] };
        let answer = self.client.call::<op::DescribeServiceDeployments>(&request).await;
        let answer = answer.map_err(failed("cannot describe the service deployment"))?;
        Ok(answer.service_deployments.into_iter().flatten().next())
    }

    /// The service deployment that leads to the revision of a deployment.
    async fn find(&self, rollout: &Rollout) -> Result<Option<String>, Failure> {
        let request = ListServiceDeploymentsRequest {
            cluster: Some(self.cluster.to_owned()),
            service: rollout.service.clone(),
            ..ListServiceDeploymentsRequest::default()
        };
        let answer = self.client.call::<op::ListServiceDeployments>(&request).await;
        let answer = answer.map_err(failed("cannot list the service deployments"))?;
        let number = rollout.deployment.rsplit('/').next().unwrap_or_default();
        let leads_there = |target: &Option<String>| {
            target.as_deref().and_then(|arn| arn.rsplit('/').next()) == Some(number)
        };
        let mut listed = answer.service_deployments.into_iter().flatten();
        let ours = listed.find(|brief| leads_there(&brief.target_service_revision_arn));
        Ok(ours.and_then(|brief| brief.service_deployment_arn))
    }

    /// The running tasks when all went well; else what went wrong.
    async fn conclude(&self, followed: &[Followed]) -> Result<Vec<Task>, Failure> {
        let mut failures = Vec::new();
        let mut tasks = Vec::new();
        for one in followed {
            let name = &one.rollout.service;
            let why = match &one.ended {
                Some(Ok(())) => {
                    let running = DesiredStatus::Running;
                    tasks.extend(
                        progress::tasks(self.client, self.cluster, Some(name), running).await?,
                    );
                    continue;
                }
                Some(Err(why)) => why.clone(),
                None => format!("not steady after {} s: {}", self.timeout.as_secs(), one.said),
            };
            for line in self.post_mortem(&one.rollout).await? {
                output::note(&line);
            }
            failures.push((name, why));
        }
        let Some((first, _)) = failures.first() else { return Ok(tasks) };
        let names: Vec<&str> = failures.iter().map(|(name, _)| name.as_str()).collect();
        let what = format!("the deployment of {} failed", names.join(", "));
        let why = match failures.as_slice() {
            [(_, why)] => why.clone(),
            several => {
                let each: Vec<String> =
                    several.iter().map(|(name, why)| format!("{name}: {why}")).collect();
                each.join("; ")
            }
        };
        let fix = format!("longshore ctl explain {first} --cluster {}", self.cluster);
        Err(Failure::new(what, why).fix(fix))
    }
}

impl Followed {
    fn new(rollout: Rollout, bars: &MultiProgress) -> Self {
        let bar = bars.add(ProgressBar::new(1));
        let style = "{prefix} [{bar:30}] {pos}/{len} running, {msg}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.set_prefix(rollout.service.clone());
        let (told, said) = (BTreeSet::new(), String::new());
        Self { rollout, arn: None, bar, told, said, ended: None }
    }

    /// Prints the events since the deployment began that were not told yet, oldest first.
    fn tell(&mut self, service: &Service, bars: &MultiProgress) {
        let own = |id: &Option<String>| id.as_ref() == Some(&self.rollout.deployment);
        let mut deployments = service.deployments.iter().flatten();
        let begun = deployments.find(|deployment| own(&deployment.id));
        let begun = begun.and_then(|deployment| deployment.created_at).map(|at| at.0);
        for event in service.events.iter().flatten().rev() {
            let before = event.created_at.map(|at| at.0) < begun;
            let id = event.id.clone().unwrap_or_default();
            if self.told.insert(id) && !before {
                let message = event.message.clone().unwrap_or_default();
                bars.suspend(|| output::note(&format!("  {message}")));
            }
        }
    }

    /// Shows how far it is: in the bar, and in lines where no bar can be drawn.
    fn show(&mut self, service: &Service, state: &str, bars: &MultiProgress) {
        let at = verdict::progress(service);
        let message = format!("{} failed; {state}", at.failed);
        self.bar.set_length(at.desired);
        self.bar.set_position(at.running);
        self.bar.set_message(message.clone());
        let said = format!("{}/{} running, {message}", at.running, at.desired);
        if self.said != said && bars.is_hidden() {
            output::note(&format!("{}: {said}", self.rollout.service));
        }
        self.said = said;
    }
}
