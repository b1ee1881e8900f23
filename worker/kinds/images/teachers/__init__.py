"""Teachers: networks trained on all training images, whose opinion of an image is its soft label."""
