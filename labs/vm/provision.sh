#!/bin/sh
# Prepare a virtual machine of Debian 12 for the labs: provision.sh [FOLDER], as the user who will work there.
#
# `vagrant up` calls this, and so does the test of the machine (./lab test --vm).
set -eu
folder=${1:-/vagrant}

# The virtual environment stays out of the synced folder, under sudo too.
echo "export TCPCLOSE_VENV=$HOME/tcpclose-venv" | sudo tee /etc/profile.d/tcpclose.sh >/dev/null
echo 'Defaults env_keep += "TCPCLOSE_VENV"' | sudo tee /etc/sudoers.d/tcpclose >/dev/null
. /etc/profile.d/tcpclose.sh

cd "$folder"
./lab setup

# Whoever grades assignments has foreign code to contain: docs/containment.md.
sudo apt-get install -y --no-install-recommends bubblewrap

sudo tee /etc/motd >/dev/null <<MOTD

  How do TCP connections end? Start with these:

      cd $folder
      ./lab demo                        four connections, released in four ways
      ./lab lab 01-four-way-close       the handout of the first lab (./lab labs lists them)
      ./lab run 01-four-way-close       its run

  Captures and charts are in results/runs, which your own machine sees too: open them there with Wireshark.

MOTD
