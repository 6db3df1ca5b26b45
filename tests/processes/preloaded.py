"""The modules that the fork server of `forked` imports once. Its processes start with them loaded."""

# ruff: noqa: E402, F401

import torch._dynamo

from nanogen_files.torchao_messages import hide_torchao_messages
from tests.processes import unflushed

hide_torchao_messages()  # as the command line does

import torch.utils.tensorboard
import transformers.models.bert.modeling_bert  # of the captions of the drawings

import nanogen_core.cli.main
import nanogen_openmoji.class_images
import nanogen_train.trainer.loop
