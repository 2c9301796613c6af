"""An online store on Redis: packed rows, read in one round trip, written newest-wins."""
