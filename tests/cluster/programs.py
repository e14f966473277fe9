"""The programs of a cluster: what each is told on its command line and in its files. Pure."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.addresses import Addresses
from tests.cluster.commands import PATH
from tests.cluster.components import CONTROL, ETCD, FAKE_NODES, NETWORK, OWN, RUNTIME
from tests.cluster.places import Places

SOCKET = "/run/containerd/containerd.sock"
UNUSED = ("io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri")
"""Parts of containerd that would write elsewhere on the machine."""
PAUSE = "localhost/consilia-test-pause:1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a cluster can be asked for: fake GPUs a node, when a silent node counts as lost (s), and fake nodes."""

    gpus: int = 4
    grace_s: int = 20
    fake_nodes: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """One node of one cluster; node 0 runs the control plane, too."""

    places: Places
    addresses: Addresses
    options: Options
    number: int = 0

    @property
    def name(self) -> str:
        """As Kubernetes knows it."""
        return f"node-{self.number}"

    @property
    def folder(self) -> Path:
        """Its logs, sockets and volumes."""
        return self.places.node(self.number)

    @property
    def cgroup(self) -> str:
        """Its group of processes, below every controller's root."""
        return f"consilia-{self.places.name}-{self.number}"

    def key(self, name: str) -> str:
        """A file among the cluster's certificates, keys and kubeconfigs."""
        return str(self.places.keys / name)


Program = Callable[[Node], list[str]]
"""From a node to the command line of one of its programs."""


def etcd(node: Node) -> list[str]:
    """The store. Without fsync: a test cluster's state need not outlive the machine."""
    client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    return [
        str(ETCD.folder / "etcd"),
        f"--data-dir={node.folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def apiserver(node: Node) -> list[str]:
    """The API server; it advertises the node's address, as loopback is refused as an endpoint."""
    return [
        str(CONTROL.folder / "kube-apiserver"),
        f"--advertise-address={node.addresses.node(0)}",
        "--etcd-servers=http://127.0.0.1:2379",
        f"--service-cluster-ip-range={node.addresses.services}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--client-ca-file={node.key('ca.crt')}",
        f"--tls-cert-file={node.key('apiserver.crt')}",
        f"--tls-private-key-file={node.key('apiserver.key')}",
        f"--kubelet-client-certificate={node.key('apiserver-to-kubelet.crt')}",
        f"--kubelet-client-key={node.key('apiserver-to-kubelet.key')}",
        f"--kubelet-certificate-authority={node.key('ca.crt')}",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={node.key('tokens.pub')}",
        f"--service-account-signing-key-file={node.key('tokens.key')}",
        f"--proxy-client-cert-file={node.key('front-proxy.crt')}",
        f"--proxy-client-key-file={node.key('front-proxy.key')}",
        f"--requestheader-client-ca-file={node.key('front-proxy-ca.crt')}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
    ]


def controller_manager(node: Node) -> list[str]:
    """The controllers.

    The default of 20 requests a second would hold the first pod up by five seconds.
    """
    return [
        str(CONTROL.folder / "kube-controller-manager"),
        *_login(node, "controller-manager"),
        f"--service-account-private-key-file={node.key('tokens.key')}",
        f"--root-ca-file={node.key('ca.crt')}",
        f"--cluster-signing-cert-file={node.key('ca.crt')}",
        f"--cluster-signing-key-file={node.key('ca.key')}",
        "--use-service-account-credentials",
        "--kube-api-qps=300",
        "--kube-api-burst=600",
        f"--node-monitor-grace-period={node.options.grace_s}s",
        "--node-monitor-period=2s",
    ]


def scheduler(node: Node) -> list[str]:
    """The scheduler."""
    return [str(CONTROL.folder / "kube-scheduler"), *_login(node, "scheduler")]


def _login(node: Node, user: str) -> list[str]:
    conf = node.key(f"{user}.conf")
    own = [f"--{part}kubeconfig={conf}" for part in ("", "authentication-", "authorization-")]
    return [*own, "--leader-elect=false", "--bind-address=127.0.0.1"]


def containerd(node: Node) -> list[str]:
    """The container runtime."""
    return [str(RUNTIME.folder / "containerd"), f"--config={node.folder / 'containerd.toml'}"]


def containerd_alone(node: Node) -> list[str]:
    """The same, as `ctr` knows it: without what Kubernetes asks of it."""
    return [str(RUNTIME.folder / "containerd"), f"--config={node.folder / 'containerd-alone.toml'}"]


def kubelet(node: Node) -> list[str]:
    """The node's agent."""
    return [
        str(CONTROL.folder / "kubelet"),
        f"--config={node.folder / 'kubelet.json'}",
        f"--kubeconfig={node.key(f'{node.name}.conf')}",
        f"--hostname-override={node.name}",
        f"--node-ip={node.addresses.node(node.number)}",
    ]


def kube_proxy(node: Node) -> list[str]:
    """The node's way from Services to pods."""
    return [str(CONTROL.folder / "kube-proxy"), f"--config={node.folder / 'proxy.json'}"]


def gpu_plugin(node: Node) -> list[str]:
    """Graphics cards that are not there."""
    return [str(OWN.folder / "gpu"), f"-count={node.options.gpus}"]


def volume_provider(node: Node) -> list[str]:
    """Volumes on the nodes' disks."""
    return [str(OWN.folder / "volumes"), f"-kubeconfig={node.key('admin.conf')}", f"-folder={node.places.run}"]


def kwok(node: Node) -> list[str]:
    """Nodes that are not there."""
    return [
        str(FAKE_NODES.folder / "kwok"),
        f"--kubeconfig={node.key('admin.conf')}",
        f"--config={FAKE_NODES.folder / 'stages.yaml'}",
        "--manage-all-nodes=false",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        f"--node-ip={node.addresses.node(0)}",
        f"--cidr={node.addresses.fake_pods}",
    ]


def files(node: Node) -> dict[str, str]:
    """The node's configuration files, by name."""
    return {
        "containerd.toml": containerd_config(node, without=UNUSED),
        "containerd-alone.toml": containerd_config(node, without=(*UNUSED, "io.containerd.grpc.v1.cri")),
        "kubelet.json": json.dumps(kubelet_config(node), indent=1),
        "proxy.json": json.dumps(proxy_config(node), indent=1),
        "cni/10-bridge.conflist": json.dumps(network_config(node), indent=1),
        "resolv.conf": "",
    }


def containerd_config(node: Node, *, without: Sequence[str]) -> str:
    """Written to stay in the node's folder, and never to lower oom_score_adj, which root may not be allowed to."""
    return f"""\
version = 3
root = "{node.places.images(node.number)}"
state = "/run/containerd"
disabled_plugins = {json.dumps(without)}
[grpc]
  address = "{SOCKET}"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "{PAUSE}"
[plugins.'io.containerd.cri.v1.runtime']
  disable_apparmor = true
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["{NETWORK.folder}"]
  conf_dir = "{node.folder / "cni"}"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
    SystemdCgroup = false
"""


def kubelet_config(node: Node) -> dict[str, object]:
    """Images are never collected: they could not be pulled again. Thresholds are absolute: test machines run full."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "failSwapOn": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "volumePluginDir": str(node.folder / "volume-plugins"),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": node.key("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": node.key(f"{node.name}.crt"),
        "tlsPrivateKeyFile": node.key(f"{node.name}.key"),
        "clusterDNS": [str(node.addresses.dns)],
        "clusterDomain": "cluster.local",
        "resolvConf": str(node.folder / "resolv.conf"),
        "evictionHard": {"memory.available": "200Mi", "nodefs.available": "1Gi", "imagefs.available": "1Gi"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "nodeStatusUpdateFrequency": "4s",
        "nodeLeaseDurationSeconds": 10,
        "oomScoreAdj": 0,
    }


def proxy_config(node: Node) -> dict[str, object]:
    """Leaves the machine's connection tracking as it is."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": node.name,
        "clientConnection": {"kubeconfig": node.key("proxy.conf")},
        "clusterCIDR": str(node.addresses.pods),
        "oomScoreAdj": 0,
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def network_config(node: Node) -> dict[str, object]:
    """Pods on a bridge, known everywhere by their own addresses."""
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": str(node.addresses.pods_of(node.number))}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": "/var/lib/cni",
    }
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False, "hairpinMode": True, "ipam": ipam}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}
    return {"cniVersion": "1.0.0", "name": "bridge", "plugins": [bridge, ports]}


def environment() -> dict[str, str]:
    """The first containerd-shim-runc-v2 on PATH is the one that is used: ours, whatever the machine has."""
    return {"PATH": f"{RUNTIME.folder}:{PATH}", "HOME": "/root"}
