#!/bin/bash
# Gives clevis in the initramfs a deadline, and has the console say what is waited for. Without clevis it adds nothing.

check() {
  return 0
}

depends() {
  return 0
}

install() {
  if ! dracut_module_included clevis || ! dracut_module_included systemd; then return 0; fi
  inst_simple /usr/share/nightlatch/initramfs/curlrc /etc/nightlatch/.curlrc
  inst_simple /usr/share/nightlatch/initramfs/wait /usr/libexec/nightlatch-wait
  # shellcheck disable=SC2154 # dracut's own variables
  inst_simple "$moddir/clevis.conf" "$systemdsystemunitdir/clevis-luks-askpass.service.d/nightlatch.conf"
  inst_simple "$moddir/nightlatch-wait.service" "$systemdsystemunitdir/nightlatch-wait.service"
  inst_multiple sleep
  # nightlatch_card and its like are from /etc/dracut.conf.d/nightlatch-address.conf.
  if [[ -n ${nightlatch_card-} ]]; then installNetwork; fi
}

# The fixed address of the network card, for what brings up the network in this image. ip= on the command line goes before it.
installNetwork() {
  inst_simple /etc/dracut.conf.d/nightlatch-address.conf /etc/nightlatch/network
  inst_simple /usr/share/nightlatch/initramfs/network /usr/libexec/nightlatch-network
  inst_hook pre-pivot 90 "$moddir/network-end.sh"
  inst_multiple ip
  # shellcheck disable=SC2154 # dracut's own variables
  if dracut_module_included systemd-networkd; then
    local unit written=
    # It takes the place of dracut's own, which asks DHCP by every card: of dracut 106, and of 108 and later.
    for unit in "$initdir$systemdnetworkconfdir/zzzz-dracut-default.network" "$initdir/usr/lib/dracut/default.network"; do
      [[ -e $unit ]] || continue
      networkUnit > "$unit"
      written=1
    done
    if [[ -z $written ]]; then
      mkdir -p "$initdir$systemdnetworkconfdir"
      networkUnit > "$initdir$systemdnetworkconfdir/zzzz-nightlatch.network"
    fi
  else
    mkdir -p "$initdir/etc/cmdline.d"
    networkWords > "$initdir/etc/cmdline.d/90-nightlatch-network.conf"
  fi
}

# systemd.network(5)
# shellcheck disable=SC2154 # nightlatch_card and its like
networkUnit() {
  local item isRouted=
  echo "[Match]"
  if [[ -n $nightlatch_mac ]]; then echo "MACAddress=$nightlatch_mac"; else echo "Name=$nightlatch_card"; fi
  echo "[Network]"
  for item in $nightlatch_addresses; do echo "Address=$item"; done
  for item in $nightlatch_dns; do echo "DNS=$item"; done
  if [[ $nightlatch_addresses != *:* || $nightlatch_gateways == *:* ]]; then isRouted=1; fi
  # A router that announces itself is listened to where nothing else tells the way.
  if [[ -n $isRouted ]]; then echo "IPv6AcceptRA=no"; fi
  for item in $nightlatch_gateways; do printf '[Route]\nGateway=%s\nGatewayOnLink=yes\n' "$item"; done
}

# dracut.cmdline(7)
networkWords() {
  local item gateway router client
  for item in $nightlatch_addresses; do
    router=
    for gateway in $nightlatch_gateways; do
      if [[ $item == *:* && $gateway == *:* ]]; then router="[$gateway]"; fi
      if [[ $item != *:* && $gateway != *:* ]]; then router=$gateway; fi
    done
    client=${item%/*}
    if [[ $client == *:* ]]; then client="[$client]"; fi
    echo "ip=$client::$router:${item#*/}::$nightlatch_card:none"
  done
  for item in $nightlatch_dns; do echo "nameserver=$item"; done
}
