"""ReMem: Vision Transformers fine-tuned so that more of what they know of an image reaches a student."""
