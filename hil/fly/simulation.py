"""The spacecraft and the body by Basilisk: gravity, rotation of the body, attitude dynamics with reaction wheels.

The frames are those of hil.fly.states. The sun's tide, 4e-13 km/s^2 at 5 km from a body at 1 au, moves a spacecraft by
less than a millimetre in a quarter of an hour, and is left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from Basilisk.architecture import messaging
from Basilisk.fswAlgorithms import attTrackingError, mrpFeedback, rwMotorTorque
from Basilisk.simulation import extForceTorque, reactionWheelStateEffector, simpleNav, spacecraft
from Basilisk.utilities import RigidBodyKinematics, SimulationBaseClass, macros, simIncludeGravBody, simIncludeRW

from hil.fly.states import Gravity, Pointing, Pose, Spin, Vector

# Of a small deep-space probe, kg and kg m^2.
MASS_KG, INERTIA_KG_M2 = 150.0, (20.0, 18.0, 15.0)
DYNAMICS_STEP_S, CONTROL_STEP_S = 0.05, 0.25
# Natural frequency and damping of the pointing loop: I theta'' = -K theta / 4 - P theta', as MRPs are a quarter of
# small angles (Schaub and Junkins, Analytical Mechanics of Space Systems, chapter 8).
_FREQUENCY_RAD_S, _DAMPING = 0.35, 0.9
_WHEEL, _WHEEL_MOMENTUM_NMS = "Honeywell_HR16", 50.0


class Simulation:
    """One flight. Plain data go in and out; Basilisk's messages stay inside.

    Args:
        position_km: (3,), N, at time 0.
        velocity_km_s: (3,), N.
        pointing: the attitude at time 0.
        gravity: of the body.
        spin: of the body.
    """

    def __init__(
        self, position_km: Vector, velocity_km_s: Vector, pointing: Pointing, gravity: Gravity, spin: Spin
    ) -> None:
        self._spin = spin
        self._time_s = 0.0
        self._base = SimulationBaseClass.SimBaseClass()
        process = self._base.CreateNewProcess("flight")
        process.addTask(self._base.CreateNewTask("dynamics", macros.sec2nano(DYNAMICS_STEP_S)))
        process.addTask(self._base.CreateNewTask("control", macros.sec2nano(CONTROL_STEP_S)))
        self._craft = spacecraft.Spacecraft()
        self._craft.ModelTag = "spacecraft"
        self._craft.hub.mHub = MASS_KG
        self._craft.hub.IHubPntBc_B = np.diag(INERTIA_KG_M2).tolist()
        self._craft.hub.r_CN_NInit = (1e3 * position_km).tolist()
        self._craft.hub.v_CN_NInit = (1e3 * velocity_km_s).tolist()
        self._craft.hub.sigma_BNInit = RigidBodyKinematics.C2MRP(pointing.axes).tolist()
        self._craft.hub.omega_BN_BInit = (pointing.axes @ pointing.rate_rad_s).tolist()
        # Held by Python, as Basilisk's modules hold no references to each other's messages.
        self._kept: list[Any] = [self._add_gravity(gravity)]
        self._base.AddModelToTask("dynamics", self._craft, 100)
        self._wheels, wheel_parameters = self._add_wheels()
        self._force = extForceTorque.ExtForceTorque()
        self._craft.addDynamicEffector(self._force)
        self._base.AddModelToTask("dynamics", self._force, 90)
        self._reference = messaging.AttRefMsg()
        self._add_control(wheel_parameters)
        self.point(pointing)
        self._base.InitializeSimulation()
        self._base.ConfigureStopTime(0)
        self._base.ExecuteSimulation()

    def _add_gravity(self, gravity: Gravity) -> Any:
        factory = simIncludeGravBody.gravBodyFactory()
        body = factory.createCustomGravObject("body", mu=1e9 * gravity.mu)
        body.isCentralBody = True
        if gravity.shape is not None:
            body.usePolyhedralGravityModel(gravity.shape)
        # Its attitude goes in at every control step: a polyhedron's field turns with it.
        self._planet = messaging.SpicePlanetStateMsg()
        self._write_planet()
        body.planetBodyInMsg.subscribeTo(self._planet)
        factory.addBodiesTo(self._craft)
        return factory

    def _write_planet(self) -> None:
        axes = self._spin.axes(self._time_s)
        cross = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]) * self._spin.rate_rad_s
        payload = messaging.SpicePlanetStateMsgPayload()
        payload.J20002Pfix = axes.tolist()
        payload.J20002Pfix_dot = (cross @ axes).tolist()
        payload.computeOrient = 1
        payload.PlanetName = "body"
        self._planet.write(payload, macros.sec2nano(self._time_s))

    def _add_wheels(self) -> tuple[Any, Any]:
        factory = simIncludeRW.rwFactory()
        for axis in np.eye(3):
            factory.create(_WHEEL, axis.tolist(), maxMomentum=_WHEEL_MOMENTUM_NMS, Omega=100.0)
        wheels = reactionWheelStateEffector.ReactionWheelStateEffector()
        factory.addToSpacecraft("wheels", wheels, self._craft)
        self._base.AddModelToTask("dynamics", wheels, 95)
        self._kept.append(factory)
        return wheels, factory.getConfigMessage()

    def _add_control(self, wheel_parameters: Any) -> None:
        """Attitude error, MRP feedback and motor torques, as Basilisk's own scenarios connect them."""
        navigation = simpleNav.SimpleNav()
        navigation.scStateInMsg.subscribeTo(self._craft.scStateOutMsg)
        error = attTrackingError.attTrackingError()
        error.attNavInMsg.subscribeTo(navigation.attOutMsg)
        error.attRefInMsg.subscribeTo(self._reference)
        feedback = mrpFeedback.mrpFeedback()
        inertia = float(np.mean(INERTIA_KG_M2))
        feedback.K = 4.0 * inertia * _FREQUENCY_RAD_S**2
        feedback.P = 2.0 * _DAMPING * _FREQUENCY_RAD_S * inertia
        feedback.Ki = -1.0  # no integral: there is no steady torque
        vehicle = messaging.VehicleConfigMsgPayload(ISCPntB_B=np.diag(INERTIA_KG_M2).ravel().tolist())
        vehicle_message = messaging.VehicleConfigMsg().write(vehicle)
        feedback.guidInMsg.subscribeTo(error.attGuidOutMsg)
        feedback.vehConfigInMsg.subscribeTo(vehicle_message)
        feedback.rwParamsInMsg.subscribeTo(wheel_parameters)
        feedback.rwSpeedsInMsg.subscribeTo(self._wheels.rwSpeedOutMsg)
        motors = rwMotorTorque.rwMotorTorque()
        motors.controlAxes_B = np.eye(3).ravel().tolist()
        motors.vehControlInMsg.subscribeTo(feedback.cmdTorqueOutMsg)
        motors.rwParamsInMsg.subscribeTo(wheel_parameters)
        self._wheels.rwMotorCmdInMsg.subscribeTo(motors.rwMotorTorqueOutMsg)
        self._base.AddModelToTask("dynamics", navigation, 98)
        for priority, module in ((60, error), (50, feedback), (40, motors)):
            self._base.AddModelToTask("control", module, priority)
        self._kept += [navigation, error, feedback, motors, vehicle_message, wheel_parameters]

    def point(self, pointing: Pointing) -> None:
        """Give the pointing loop what to follow from now on."""
        payload = messaging.AttRefMsgPayload()
        payload.sigma_RN = RigidBodyKinematics.C2MRP(pointing.axes).tolist()
        payload.omega_RN_N = pointing.rate_rad_s.tolist()
        self._reference.write(payload, macros.sec2nano(self._time_s))

    def push(self, acceleration_km_s2: Vector) -> None:
        """Accelerate the spacecraft, (3,) in N, from now on: its thrusters as one force without a torque."""
        self._force.extForce_N = (1e3 * MASS_KG * acceleration_km_s2).reshape(3, 1).tolist()

    def advance(self, time_s: float) -> None:
        """Go on to a time, seconds from the start."""
        while self._time_s < time_s:
            # Basilisk extends the body's attitude along its rate, which holds for a moment only.
            self._write_planet()
            self._time_s = min(self._time_s + CONTROL_STEP_S, time_s)
            self._base.ConfigureStopTime(macros.sec2nano(self._time_s))
            self._base.ExecuteSimulation()

    def pose(self) -> Pose:
        """The true state now."""
        state = self._craft.scStateOutMsg.read()
        speeds = self._wheels.rwSpeedOutMsg.read().wheelSpeeds
        return Pose(
            self._time_s,
            1e-3 * np.array(state.r_CN_N),
            1e-3 * np.array(state.v_CN_N),
            np.array(RigidBodyKinematics.MRP2C(np.array(state.sigma_BN))),
            np.array(state.omega_BN_B),
            self._spin.axes(self._time_s),
            np.array(speeds[:3]) * (30.0 / np.pi),
        )
