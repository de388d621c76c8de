# SPDX-License-Identifier: GPL-2.0
# Completes the options of rlvsadm in bash.

_rlvsadm_services() {
    rlvsadm -S -n 2>/dev/null | awk -v kind="$1" '$1 == "-A" && $2 == kind { print $3 }'
}

_rlvsadm() {
    local offer
    case ${COMP_WORDS[COMP_CWORD - 1]} in
    --set) offer=(-W '') ;;
    -t | --tcp-service) offer=(-W "$(_rlvsadm_services -t)") ;;
    -u | --udp-service) offer=(-W "$(_rlvsadm_services -u)") ;;
    -f | --fwmark-service) offer=(-W "$(_rlvsadm_services -f)") ;;
    -s | --scheduler) offer=(-W 'rr wrr lc wlc lblc lblcr dh sh sed nq fo ovf mh twos none') ;;
    -b | --sched-flags) offer=(-W 'sh-fallback sh-port mh-fallback mh-port flag-1 flag-2') ;;
    -p | --persistent) offer=(-W '') ;;
    -M | --netmask) offer=(-W '') ;;
    --pe) offer=(-W 'sip') ;;
    --set-mark) offer=(-W '') ;;
    -z | --laddr) offer=(-A hostname) ;;
    -r | --real-server) offer=(-A hostname) ;;
    --tun-type) offer=(-W 'ipip') ;;
    -w | --weight) offer=(-W '') ;;
    -x | --u-threshold) offer=(-W '') ;;
    -y | --l-threshold) offer=(-W '') ;;
    : | =) return ;;
    *) offer=(-W '-A --add-service -E --edit-service -D --delete-service -C --clear -a --add-server -e --edit-server -d --delete-server -P --add-laddr -Q --del-laddr -G --get-laddr -L --list -Z --zero --recheck -S --save -R --restore --set -h --help -v --version -t --tcp-service -u --udp-service -f --fwmark-service -6 --ipv6 -s --scheduler -b --sched-flags -p --persistent -M --netmask --pe --set-mark -o --ops -z --laddr -r --real-server -g --gatewaying -i --ipip -m --masquerading --fullnat --tun-type -w --weight -x --u-threshold -y --l-threshold -n --numeric -c --connection --timeout --totals --info --stats --rate --thresholds --persistent-conn --tun-info -X --exact --nosort --sort -j --json') ;;
    esac
    mapfile -t COMPREPLY < <(compgen "${offer[@]}" -- "${COMP_WORDS[COMP_CWORD]}")
}

complete -F _rlvsadm rlvsadm
