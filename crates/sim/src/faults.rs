//! What goes wrong, at random: processes die, machines lose power, the network splits, containers
//! exit, clocks jump. Of several servers, any may stand still for a while, or lose its way to the
//! store; most of all the one that leads.

use std::time::Duration;

use longshore_store::View;

use crate::check::instance_of;
use crate::cluster::Cluster;
use crate::machine::Machine;
use crate::store::way_of;
use crate::world;

/// Steps within which a process dies once its time has come.
const FUSE: std::ops::Range<u64> = 0..25;

/// Decisions within which a server stands still once its time has come.
const BRAKE: std::ops::Range<u64> = 0..4;

/// Lets things go wrong until dropped.
pub async fn rage(cluster: &Cluster) {
    world::set_faulty(true);
    loop {
        tokio::time::sleep(world::millis(300..15_000)).await;
        if cluster.servers.len() > 1 && world::chance(1, 2) {
            one_of_several(cluster);
        } else {
            one(cluster);
        }
    }
}

/// Something happens to one of several servers.
fn one_of_several(cluster: &Cluster) {
    let leader = cluster.leader().filter(|_| world::chance(2, 3));
    let server = leader.unwrap_or_else(|| world::one_of(&cluster.servers).clone());
    match world::pick(0..6) {
        0..2 => kill(cluster, &server),
        2..4 => pause(cluster, &server),
        4 => cut(cluster, &server, &way_of(&server)),
        _ => cut(cluster, &server, &server),
    }
}

/// A server stands still for a while, with one of its next decisions in its hands.
fn pause(cluster: &Cluster, server: &str) {
    let Some(life) = cluster.life(server).filter(|life| !life.is_over()) else { return };
    let (decisions, time) = (world::pick(BRAKE), world::millis(1_000..20_000));
    let when = format!("after {decisions} decisions, for {time:?}");
    cluster.story.tell(format!("! {server} will stand still {when}"));
    life.set_brake(u32::try_from(decisions).unwrap_or(0));
    let (cluster, server) = (cluster.clone(), server.to_owned());
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        cluster.story.tell(format!("{server} goes on"));
        life.resume();
    });
}

/// A server is cut off from the store, or from everybody else.
fn cut(cluster: &Cluster, server: &str, node: &'_ str) {
    let time = world::millis(500..40_000);
    let from = if node == server { "everybody" } else { "the store" };
    cluster.story.tell(format!("! {server} is cut off from {from} for {time:?}"));
    cluster.net.set_cut_off(node, true);
    let (cluster, server, node) = (cluster.clone(), server.to_owned(), node.to_owned());
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        cluster.story.tell(format!("{server} reaches {from} again"));
        cluster.net.set_cut_off(&node, false);
    });
}

fn one(cluster: &Cluster) {
    if !cluster.balancers.is_empty() && world::chance(1, 4) {
        return one_of_balancers(cluster);
    }
    let machine = world::one_of(&cluster.machines).clone();
    match world::pick(0..15) {
        0..4 => kill(cluster, world::one_of::<String>(&cluster.servers)),
        4..6 => kill(cluster, &machine.name),
        6..8 => cut_off(cluster, &machine),
        8..11 => exit(cluster, &machine),
        11 => power_cut(cluster, &machine),
        12 => {
            cluster.story.tell(format!("! the daemon of {} is restarted", machine.name));
            machine.runtime.break_events();
        }
        13 => jump(cluster),
        _ => {
            cluster.story.tell("! everything dies at once");
            cluster.servers.iter().for_each(|server| kill(cluster, server));
            cluster.machines.iter().for_each(|machine| kill(cluster, &machine.name));
        }
    }
}

/// Something happens to a node of balancers.
fn one_of_balancers(cluster: &Cluster) {
    let name = world::one_of(&cluster.balancers).clone();
    if world::chance(1, 2) {
        return kill(cluster, &name);
    }
    let time = world::millis(1_000..90_000);
    cluster.story.tell(format!("! {name} is cut off for {time:?}"));
    cluster.net.set_cut_off(&name, true);
    let cluster = cluster.clone();
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        cluster.story.tell(format!("{name} can be reached again"));
        cluster.net.set_cut_off(&name, false);
    });
}

/// A process dies, within the next steps that it takes.
fn kill(cluster: &Cluster, process: &str) {
    let Some(life) = cluster.life(process).filter(|life| !life.is_over()) else { return };
    let steps = world::pick(FUSE);
    cluster.story.tell(format!("! {process} will die after {steps} steps"));
    life.set_fuse(u32::try_from(steps).unwrap_or(0));
}

fn cut_off(cluster: &Cluster, machine: &Machine) {
    let time = world::millis(1_000..200_000);
    cluster.story.tell(format!("! {} is cut off for {time:?}", machine.name));
    cluster.net.set_cut_off(&machine.name, true);
    let (cluster, machine) = (cluster.clone(), machine.clone());
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        cluster.story.tell(format!("{} can be reached again", machine.name));
        cluster.net.set_cut_off(&machine.name, false);
    });
}

fn exit(cluster: &Cluster, machine: &Machine) {
    let running = machine.running();
    if running.is_empty() {
        return;
    }
    let container = world::one_of(&running);
    let code = if world::chance(1, 2) { 137 } else { 1 };
    cluster.story.tell(format!("! a container on {} exits with {code}", machine.name));
    machine.runtime.exit(&container.id, code);
}

fn power_cut(cluster: &Cluster, machine: &Machine) {
    if !cluster.has_power(machine) {
        return;
    }
    let time = world::millis(2_000..120_000);
    cluster.story.tell(format!("! {} has no power for {time:?}", machine.name));
    cluster.set_power(machine, false);
    let (cluster, machine) = (cluster.clone(), machine.clone());
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        cluster.story.tell(format!("{} has power again", machine.name));
        cluster.set_power(&machine, true);
    });
}

fn jump(cluster: &Cluster) {
    let millis = i64::try_from(world::pick(0..40_000)).unwrap_or(0) - 20_000;
    cluster.story.tell(format!("! all clocks jump by {millis} ms"));
    world::jump(millis);
}

/// Repairs everything.
pub fn heal(cluster: &Cluster, view: &View) {
    world::set_faulty(false);
    for server in cluster.servers.iter() {
        cluster.net.set_cut_off(server, false);
        cluster.net.set_cut_off(&way_of(server), false);
        if let Some(life) = cluster.life(server) {
            life.resume();
        }
    }
    for node in cluster.balancers.iter() {
        cluster.net.set_cut_off(node, false);
    }
    for machine in cluster.machines.iter() {
        cluster.net.set_cut_off(&machine.name, false);
        if !cluster.has_power(machine) {
            cluster.set_power(machine, true);
        }
        // An agent whose instance was deregistered waits for an hour; its operator does not.
        if instance_of(view, machine).is_none()
            && let Some(life) = cluster.life(&machine.name)
        {
            life.end();
            machine.set_up_anew();
        }
    }
    cluster.story.tell("everything is repaired");
}

/// How long after the repairs everything must be in order: sessions come back within two minutes,
/// broken deployments and slow stops take as much again.
pub const PEACE: Duration = Duration::from_secs(270);
