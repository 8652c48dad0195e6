"""Rendering labelled images of enhanced bodies with Blender's Cycles."""
