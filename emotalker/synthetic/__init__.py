"""Optional: tracking faces that are rendered or painted, not photographed. Nothing that makes a photograph talk needs it."""
