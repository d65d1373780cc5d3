"""The site's addresses."""

from django.urls import path

from django_site.orders import views

urlpatterns = [
    path("", views.index),
    path("orders/", views.orders),
    path("orders/<int:number>/", views.order),
    path("report/", views.report),
    path("login/", views.sign_in),
    path("me/", views.me),
    path("wait/", views.wait),
    path("broken/", views.broken),
]
