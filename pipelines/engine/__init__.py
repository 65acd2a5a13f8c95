"""The engine: enrollment, the tick, lanes, effects and recovery."""
