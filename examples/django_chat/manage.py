#!/usr/bin/env python3
"""A small chat with Django, Channels, DRF and simplejwt, as many are: what docs/moving-from-django.md moves."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatsite.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
