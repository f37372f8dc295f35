// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "sim/link.hpp"

#include "protocols/caf_error.hpp"
#include "protocols/type_ids.hpp"

#include <utility>

namespace conclave::sim {

namespace {

template <class Reply>
using promise_of = caf::typed_response_promise<Reply>;

/// Asks at the far end; the reply comes back over the link.
template <class Reply, class... Ts>
void ask_far(const link_ptr& l, promise_of<Reply> p, Ts... msg) {
  say_down(*l, [l, p, msg...](far_end::pointer self) {
    auto back = [l, p](auto x) { say_up(*l, [p, x](near_end::pointer) mutable { p.deliver(std::move(x)); }); };
    self->request(l->node, caf::infinite, msg...).then([back](Reply& r) { back(r); }, [back](caf::error& e) { back(e); });
  });
}

template <class Reply, class T>
void ask_near(const link_ptr& l, promise_of<Reply> p, T msg) {
  say_up(*l, [l, p, msg](near_end::pointer self) {
    auto back = [l, p](auto x) { say_down(*l, [p, x](far_end::pointer) mutable { p.deliver(std::move(x)); }); };
    self->request(l->boss, caf::infinite, msg).then([back](Reply& r) { back(r); }, [back](caf::error& e) { back(e); });
  });
}

template <class T>
void tell_far(const link_ptr& l, T msg) {
  say_down(*l, [l, msg](far_end::pointer self) { self->send(l->node, msg); });
}

near_end::behavior_type near(near_end::pointer self, link_ptr l) {
  return {
      [self, l](spawn_agent& order, orchestrator_actor& boss, event_sink_actor& sink) -> caf::result<agent_ready> {
        auto p = self->make_response_promise<agent_ready>();
        if (l->engine->cut || l->broken)
          return caf::delegated<agent_ready>{};
        l->boss = boss;
        say_down(*l, [l, p, order, sink](far_end::pointer far) {
          auto back = [l, p](auto x) { say_up(*l, [p, x](near_end::pointer) mutable { p.deliver(std::move(x)); }); };
          far->request(l->node, caf::infinite, order, caf::actor_cast<orchestrator_actor>(far), sink)
              .then([back](agent_ready& r) { back(r); }, [back](caf::error& e) { back(e); });
        });
        return caf::delegated<agent_ready>{};
      },
      [l](publish_answer& p) {
        if (!l->engine->cut)
          tell_far(l, std::move(p));
      },
      [l](publish_file& p) {
        if (!l->engine->cut)
          tell_far(l, std::move(p));
      },
      [l](start_run& r) {
        if (!l->engine->cut)
          tell_far(l, std::move(r));
      },
      [l](cancel_run& c) {
        if (!l->engine->cut)
          tell_far(l, std::move(c));
      },
      [self, l](end_task& e) -> caf::result<task_closed> {
        auto p = self->make_response_promise<task_closed>();
        if (!l->engine->cut)
          ask_far<task_closed>(l, p, std::move(e));
        return caf::delegated<task_closed>{};
      },
      [self](to_near& x) { x.act(self); },
  };
}

far_end::behavior_type far(far_end::pointer self, link_ptr l) {
  return {
      [self, l](run_report& r) -> caf::result<ruling> {
        auto p = self->make_response_promise<ruling>();
        ask_near<ruling>(l, p, std::move(r));
        return caf::delegated<ruling>{};
      },
      [self, l](body_part& b) -> caf::result<body_ack> {
        auto p = self->make_response_promise<body_ack>();
        ask_near<body_ack>(l, p, std::move(b));
        return caf::delegated<body_ack>{};
      },
      [l](agent_lost& a) { say_up(*l, [l, a](near_end::pointer near_self) { near_self->send(l->boss, a); }); },
      [](question&) -> caf::result<outcome> { return make_error(ec::bad_request, "nobody asks here"); },
      [](const cancel_task&) {},
      [self](to_far& x) { x.act(self); },
  };
}

} // namespace

link_ptr open_link(caf::actor_system& sys, world& w, process_ptr engine, std::size_t to, node_actor node) {
  auto l = std::make_shared<link>();
  l->w = &w;
  l->engine = std::move(engine);
  l->to = to;
  l->node = std::move(node);
  l->near = sys.spawn(near, l);
  l->far = sys.spawn(far, l);
  return l;
}

void say_down(link& l, std::function<void(far_end::pointer)> act) {
  if (!l.broken)
    l.down.push_back({std::move(act)});
}

void say_up(link& l, std::function<void(near_end::pointer)> act) {
  if (!l.broken)
    l.up.push_back({std::move(act)});
}

void deliver_down(link& l) {
  auto next = std::move(l.down.front());
  l.down.pop_front();
  caf::anon_send(l.far, std::move(next));
}

void deliver_up(link& l) {
  auto next = std::move(l.up.front());
  l.up.pop_front();
  caf::anon_send(l.near, std::move(next));
}

void break_link(link& l) {
  l.broken = true;
  l.down.clear();
  l.up.clear();
  caf::anon_send_exit(l.near, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(l.far, caf::exit_reason::user_shutdown);
  l.near = nullptr;
  l.far = nullptr;
  l.boss = nullptr;
  l.node = nullptr;
}

} // namespace conclave::sim
