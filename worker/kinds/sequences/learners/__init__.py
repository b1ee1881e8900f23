"""The models that sequences are judged with, one file each; what neural ones share is `fitting`, beside this folder."""
