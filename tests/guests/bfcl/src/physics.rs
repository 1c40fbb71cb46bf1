//! Masses, motions, charges.

use crate::{Answer, finite};
use toolhost_plugin::{arguments, tool};

#[arguments]
pub struct Body {
    /// The mass of the object, in kilograms.
    mass: f64,
    /// The volume of the object, in cubic meters.
    volume: f64,
}

/// Calculates the density of an object.
#[tool(read_only, idempotent, closed_world)]
pub fn calculate_density(args: Body) -> Answer<f64> {
    finite(args.mass / args.volume)
}

#[arguments]
pub struct Motion {
    /// The initial velocity of the object, in meters per second.
    initial_velocity: f64,
    /// The acceleration of the object, in meters per second squared.
    acceleration: f64,
    /// The time the object has been moving, in seconds.
    time: f64,
}

/// Calculates the displacement of an object.
#[tool(read_only, idempotent, closed_world)]
pub fn calculate_displacement(args: Motion) -> Answer<f64> {
    finite(args.initial_velocity * args.time + args.acceleration * args.time.powi(2) / 2.0)
}

#[arguments]
pub struct Acceleration {
    /// The initial velocity of the object.
    initial_velocity: f64,
    /// The acceleration of the object.
    acceleration: f64,
    /// The time the object has been moving.
    time: f64,
}

/// Calculates the final velocity of an object.
#[tool(read_only, idempotent, closed_world)]
pub fn calculate_final_velocity(args: Acceleration) -> Answer<f64> {
    finite(args.initial_velocity + args.acceleration * args.time)
}

#[arguments]
pub struct Charge {
    /// The charge of the object, in coulombs.
    charge: f64,
    /// The voltage of the object, in volts.
    voltage: f64,
}

/// Calculates the electrostatic potential energy.
#[tool(read_only, idempotent, closed_world)]
pub fn calculate_electrostatic_potential_energy(args: Charge) -> Answer<f64> {
    finite(args.charge * args.voltage)
}
